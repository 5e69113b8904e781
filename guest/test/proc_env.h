/* SPDX-License-Identifier: Apache-2.0 */
/* proc_env.h: included before everything in host builds of proc/ and time/: the shared area and the libos window move
 * to where the host has room, so that memory of the test counts as the program's. */
#ifndef UFS_TEST_PROC_ENV_H
#define UFS_TEST_PROC_ENV_H
#include "../../abi/unifaas_abi.h"
#undef UFS_SHARED_VA
#undef UFS_WINDOW_VA
#undef UFS_WINDOW_END
#define UFS_SHARED_VA 0x220000000000
#define UFS_WINDOW_VA 0x10000
#define UFS_WINDOW_END 0x20000
#endif
