/* SPDX-License-Identifier: Apache-2.0 */
/* netif.c: the interfaces and routes that programs are shown; they never change. */
#include "sock.h"

const struct netif netifs[NETIFS] = {
	{ "lo", 8, 128, { 0 }, { [15] = 1 }, { 127, 0, 0, 1 }, { 255 }, { 0 }, 0x10049 /* UP LOOPBACK RUNNING LOWER_UP */, 65536, 772 },
	{ "eth0", 24, 64, { 2, 0, 10, 0, 2, 15 }, { 0xfd, [13] = 2, [15] = 0x15 }, { 10, 0, 2, 15 }, { 255, 255, 255 }, { 10, 0, 2, 255 },
	  0x10043 /* UP BROADCAST RUNNING LOWER_UP; no MULTICAST */, 1500, 1 },
};

u32 net_routes(struct route r[4])
{
	static const struct route all[4] = {
		{ .dst = { 10, 0, 2 }, .family = AF_INET, .prefix = 24, .ifindex = 2 },
		{ .dst = { 0xfd }, .family = AF_INET6, .prefix = 64, .ifindex = 2, .metric = 256 },
		{ .via = { 10, 0, 2, 2 }, .has_via = true, .family = AF_INET, .ifindex = 2 },
		{ .via = { 0xfd, [13] = 2, [15] = 2 }, .has_via = true, .family = AF_INET6, .ifindex = 2, .metric = 1024 },
	};
	memcpy(r, all, sizeof(all));
	return outbound_allowed() ? 4 : 2;
}
