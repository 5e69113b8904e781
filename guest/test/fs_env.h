/* SPDX-License-Identifier: Apache-2.0 */
/* fs_env.h: included before everything in host builds of fs/: the libos window moves to where the host has room. */
#ifndef UFS_TEST_FS_ENV_H
#define UFS_TEST_FS_ENV_H
#include "../../abi/unifaas_abi.h"
#undef UFS_IMAGE_VA
#undef UFS_SHARED_VA
#undef UFS_FILES_VA
#define UFS_IMAGE_VA 0x210000000000
#define UFS_SHARED_VA 0x220000000000
#define UFS_FILES_VA 0x230000000000
#define FAKE_IMAGE_MAX 0x4000000UL
#endif
