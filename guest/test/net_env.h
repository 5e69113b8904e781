/* SPDX-License-Identifier: Apache-2.0 */
/* net_env.h: included before everything in host builds of net/: the shared area and the libos window move to where the
 * host has room, so that buffers of the test count as the program's. */
#ifndef UFS_TEST_NET_ENV_H
#define UFS_TEST_NET_ENV_H
#include "../../abi/unifaas_abi.h"
#undef UFS_PHYS_VA
#undef UFS_SHARED_VA
#undef UFS_WINDOW_VA
#undef UFS_WINDOW_END
#define UFS_PHYS_VA 0x200000000000
#define UFS_SHARED_VA 0x220000000000
#define UFS_WINDOW_VA 0x10000
#define UFS_WINDOW_END 0x20000
#endif
