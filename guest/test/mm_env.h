/* SPDX-License-Identifier: Apache-2.0 */
/* mm_env.h: included before everything in host builds of mm/: the libos window moves to where the host has room. */
#ifndef UFS_TEST_MM_ENV_H
#define UFS_TEST_MM_ENV_H
#include "../../abi/unifaas_abi.h"
#undef UFS_PHYS_VA
#undef UFS_IMAGE_VA
#undef UFS_SHARED_VA
#define UFS_PHYS_VA 0x200000000000
#define UFS_IMAGE_VA 0x210000000000
#define UFS_SHARED_VA 0x220000000000
#endif
