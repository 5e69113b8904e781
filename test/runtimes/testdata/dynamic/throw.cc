/* SPDX-License-Identifier: Apache-2.0 */
/* throw.cc: an exception that leaves its library. */
#include <stdexcept>

void thrower() { throw std::runtime_error("from a library"); }
