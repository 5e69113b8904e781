// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image"
)

// Push brings an image of a store to the node: only the layers that it has not got. show may wrap what is sent, and is
// told its size. An empty name leaves the image unnamed.
func (c *Client) Push(ctx context.Context, s *image.Store, m image.Manifest, name string, show func(size int64, r io.Reader) io.ReadCloser) (api.Image, error) {
	for again := false; ; again = true {
		for _, l := range m.Layers {
			if err := c.pushLayer(ctx, s, l, show); err != nil {
				return api.Image{}, err
			}
		}
		i, err := c.addImage(ctx, m, name)
		var status *StatusError
		if errors.As(err, &status) && status.Status == http.StatusConflict && !again {
			continue // somebody removed the last other image that had a layer
		}
		return i, err
	}
}

func (c *Client) pushLayer(ctx context.Context, s *image.Store, l image.LayerID, show func(int64, io.Reader) io.ReadCloser) error {
	path := "/unifaas/v1/layers/" + l.Digest
	resp, err := c.do(ctx, http.MethodHead, path, nil, "")
	var status *StatusError
	switch {
	case err == nil:
		return resp.Body.Close()
	case !errors.As(err, &status) || status.Status != http.StatusNotFound:
		return err
	}
	f, err := s.OpenLayer(l.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	body := show(l.Size, f)
	defer body.Close()
	if resp, err = c.do(ctx, http.MethodPut, path, body, "application/octet-stream"); err != nil {
		return err
	}
	return resp.Body.Close()
}

func (c *Client) addImage(ctx context.Context, m image.Manifest, name string) (i api.Image, err error) {
	text, err := json.Marshal(m)
	if err != nil {
		return i, err
	}
	path := "/unifaas/v1/images"
	if name != "" {
		path += "?" + url.Values{"name": {name}}.Encode()
	}
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(text), api.ManifestType)
	if err != nil {
		return i, err
	}
	defer resp.Body.Close()
	return i, json.NewDecoder(resp.Body).Decode(&i)
}
