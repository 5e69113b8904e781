// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

// SetStall changes how long a caller may take nothing.
func SetStall(d *Door, limit time.Duration) { d.stall = limit }
