// SPDX-License-Identifier: Apache-2.0

package sdk

import "net/http"

// Handler has hooks run before h sees the first request after a restore.
func Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Check()
		h.ServeHTTP(w, r)
	})
}
