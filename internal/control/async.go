// SPDX-License-Identifier: Apache-2.0

package control

import "strconv"

// Annotations about asynchronous invocations, and their bounds.
const (
	annotationRetries = "unifaas.dev/async-retries"
	annotationAsync   = "unifaas.dev/async-concurrency"

	defaultRetries = 5
	maxRetries     = 100
	defaultAsync   = 64 // at most; fewer where the function's instances take fewer
	maxAsync       = 1000
)

// AsyncRetries is how often an asynchronous invocation that failed is tried again.
func (f *Function) AsyncRetries() int {
	n, _ := numberOf(f.Annotations, annotationRetries, 0, maxRetries, defaultRetries)
	return n
}

// AsyncConcurrency is how many asynchronous invocations are executed at once by a node: as many as all of the function's instances take,
// within reason.
func (f *Function) AsyncConcurrency() int {
	c := f.Current().Concurrency
	if c <= 0 || c > defaultAsync {
		c = defaultAsync
	}
	fits := max(1, min(f.Scale.Max, defaultAsync)*c)
	n, _ := numberOf(f.Annotations, annotationAsync, 1, maxAsync, min(fits, defaultAsync))
	return n
}

// checkAsync says in one line what is wrong with the annotations.
func checkAsync(annotations map[string]string) error {
	if _, err := numberOf(annotations, annotationRetries, 0, maxRetries, defaultRetries); err != nil {
		return err
	}
	_, err := numberOf(annotations, annotationAsync, 1, maxAsync, 1)
	return err
}

func numberOf(annotations map[string]string, key string, least, most, otherwise int) (int, error) {
	s, ok := annotations[key]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return otherwise, invalid("annotation %s %q: choose from %d to %d", key, clip(s), least, most)
	}
	return n, nil
}
