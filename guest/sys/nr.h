/* SPDX-License-Identifier: Apache-2.0 */
/* nr.h: numbers of system calls are below NR_MAX. Also for assembly. */
#define NR_MAX 470
