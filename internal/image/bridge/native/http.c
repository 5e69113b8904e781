/* SPDX-License-Identifier: Apache-2.0 */
/* http.c: HTTP/1.1 requests as they come, and short answers. What has two readings is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "bridge.h"

bool header_is(const struct header *h, const char *name)
{
	return h->name_len == strlen(name) && !strncasecmp(h->name, name, h->name_len);
}

const char *header_get(const struct header *h, int n, const char *name, size_t *len)
{
	for (; n > 0; n--, h++) {
		if (header_is(h, name)) {
			*len = h->value_len;
			return h->value;
		}
	}
	return NULL;
}

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 202: return "Accepted";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 413: return "Payload Too Large";
	case 431: return "Request Header Fields Too Large";
	case 501: return "Not Implemented";
	}
	return "Error";
}

void http_reply(struct conn *c, int status, const char *type, const char *body, size_t n)
{
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", status, reason(status), type, n,
		   c->req.keep ? "" : "Connection: close\r\n");
	buf_put(&c->out, body, n);
}

static int bad(struct conn *c, int status, const char *why)
{
	c->req.keep = false;
	http_reply(c, status, "text/plain", why, strlen(why));
	c->closing = true;
	c->in.off = c->in.len;
	return -1;
}

static bool token(const char *s, size_t n)
{
	if (!n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 127 || strchr("()<>@,;:\\\"/[]?={}", s[i]))
			return false;
	return true;
}

/* One line "name: value", ended by NUL. */
static bool parse_header(char *line, size_t n, struct header *h)
{
	char *colon = memchr(line, ':', n);

	if (!colon || !token(line, colon - line))
		return false;
	char *v = colon + 1, *end = line + n;
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = 0;
	for (char *p = v; p < end; p++)
		if ((unsigned char)*p < ' ' && *p != '\t')
			return false;
	*h = (struct header){line, v, colon - line, end - v};
	return true;
}

static bool number(const char *s, size_t n, int base, uint64_t *to)
{
	uint64_t v = 0;

	if (!n || n > 16)
		return false;
	for (size_t i = 0; i < n; i++) {
		int d = s[i] >= '0' && s[i] <= '9' ? s[i] - '0' : s[i] >= 'a' && s[i] <= 'f' ? s[i] - 'a' + 10 : s[i] >= 'A' && s[i] <= 'F' ? s[i] - 'A' + 10 : 99;
		if (d >= base)
			return false;
		if (v > (UINT64_MAX >> 4) / 2)
			return false;
		v = v * base + d;
	}
	*to = v;
	return true;
}

/* head takes the head of a request apart: what is between method and the empty line. */
static int head(struct conn *c, size_t n)
{
	struct request *r = &c->req;

	r->head = malloc(n + 1);
	if (!r->head)
		die("memory");
	memcpy(r->head, c->in.p + c->in.off, n);
	r->head[n] = 0;
	buf_take(&c->in, n);
	r->count = 0;
	r->chunked = r->expects = false;
	r->left = 0;
	r->keep = true;
	char *line = r->head, *end = r->head + n;
	bool first = true, sized = false;
	while (line < end) {
		char *stop = memchr(line, '\n', end - line);
		char *next = stop + 1;

		if (stop > line && stop[-1] == '\r')
			stop--;
		*stop = 0;
		if (stop == line)
			break; /* the empty one */
		if (memchr(line, 0, stop - line))
			return bad(c, 400, "a NUL byte in the head of a request\n");
		if (first) {
			char *path = memchr(line, ' ', stop - line), *proto = path ? memchr(path + 1, ' ', stop - path - 1) : NULL;

			if (!proto || *line < 'A' || strncmp(proto + 1, "HTTP/1.", 7) || path[1] != '/')
				return bad(c, 400, "no request of HTTP/1.1\n");
			*path = *proto = 0;
			r->method = line;
			r->path = path + 1;
			r->keep = proto[8] != '0';
			first = false;
		} else {
			if (r->count == HEADERS_MAX)
				return bad(c, 431, "too many header fields\n");
			struct header *h = &r->headers[r->count];
			if (!parse_header(line, stop - line, h))
				return bad(c, 400, "a header field that is none\n");
			r->count++;
			if (header_is(h, "Content-Length")) {
				uint64_t len;
				if (!number(h->value, h->value_len, 10, &len) || (sized && len != r->left))
					return bad(c, 400, "Content-Length is no number\n");
				r->left = len;
				sized = true;
			} else if (header_is(h, "Transfer-Encoding")) {
				if (strcasecmp(h->value, "chunked") || r->chunked)
					return bad(c, 501, "a Transfer-Encoding other than chunked\n");
				r->chunked = true;
			} else if (header_is(h, "Connection")) {
				if (!strcasecmp(h->value, "close"))
					r->keep = false;
				else if (!strcasecmp(h->value, "keep-alive"))
					r->keep = true;
			} else if (header_is(h, "Expect")) {
				r->expects = !strcasecmp(h->value, "100-continue");
			}
		}
		line = next;
	}
	if (first)
		return bad(c, 400, "no request of HTTP/1.1\n");
	if (r->chunked && sized)
		return bad(c, 400, "both Content-Length and Transfer-Encoding\n");
	c->stage = r->chunked ? CHUNK_SIZE : r->left ? BODY : WHOLE;
	c->trailer = 0;
	on_head(c);
	if (!c->dead && !c->closing && r->expects && c->stage != WHOLE)
		buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
	return 0;
}

/* The length of the head that has come, with its empty line; 0: not all of it. seen bytes were looked at before. */
static size_t head_length(const char *p, size_t n)
{
	for (const char *at = p; (at = memchr(at, '\n', p + n - at)); at++) {
		if (at + 1 < p + n && at[1] == '\n')
			return at + 2 - p;
		if (at + 2 < p + n && at[1] == '\r' && at[2] == '\n')
			return at + 3 - p;
	}
	return 0;
}

/* A line that has come whole, ended by NUL; NULL: not yet. */
static char *line_of(struct conn *c, size_t *used, size_t *len)
{
	char *p = c->in.p + c->in.off, *nl = BUF_LEFT(&c->in) ? memchr(p, '\n', BUF_LEFT(&c->in)) : NULL;

	if (!nl)
		return NULL;
	*used = nl + 1 - p;
	if (nl > p && nl[-1] == '\r')
		nl--;
	*nl = 0;
	*len = nl - p;
	return p;
}

int http_feed(struct conn *c)
{
	while (!c->dead && !c->closing) {
		size_t have = BUF_LEFT(&c->in), used, len;
		char *p = c->in.p + c->in.off, *line;

		switch (c->stage) {
		case HEAD:
			while (have && (*p == '\r' || *p == '\n')) { /* between requests */
				buf_take(&c->in, 1);
				p = c->in.p + c->in.off;
				have--;
			}
			if (!have)
				return 0;
			len = head_length(p, have);
			if (!len) {
				if (have > HEAD_MAX)
					return bad(c, 431, "the head of the request is too long\n");
				return 0;
			}
			if (len > HEAD_MAX)
				return bad(c, 431, "the head of the request is too long\n");
			if (head(c, len))
				return -1;
			break;
		case BODY:
		case CHUNK:
			if (!have)
				return 0;
			if (have > c->req.left)
				have = c->req.left;
			on_body(c, p, have);
			c->req.left -= have;
			buf_take(&c->in, have);
			if (!c->req.left)
				c->stage = c->stage == BODY ? WHOLE : CHUNK_END;
			if (c->stage != WHOLE && !wants(c))
				return 0;
			break;
		case CHUNK_SIZE:
			line = line_of(c, &used, &len);
			if (!line)
				return have > 1024 ? bad(c, 400, "the size of a chunk is too long\n") : 0;
			len = strcspn(line, "; \t");
			if (!number(line, len, 16, &c->req.left))
				return bad(c, 400, "the size of a chunk is no number\n");
			buf_take(&c->in, used);
			c->stage = c->req.left ? CHUNK : TRAILER;
			break;
		case CHUNK_END:
			line = line_of(c, &used, &len);
			if (!line)
				return have > 2 ? bad(c, 400, "a chunk is longer than its size\n") : 0;
			if (len)
				return bad(c, 400, "a chunk is longer than its size\n");
			buf_take(&c->in, used);
			c->stage = CHUNK_SIZE;
			break;
		case TRAILER:
			line = line_of(c, &used, &len);
			if (!line || (c->trailer += used) > TRAILER_MAX) {
				if (have > TRAILER_MAX || line)
					return bad(c, 431, "the trailers are too long\n");
				return 0;
			}
			if (len) {
				struct header h;
				if (!parse_header(line, len, &h))
					return bad(c, 400, "a trailer that is none\n");
				if (!strncasecmp(h.name, "Lambda-Runtime-Function-Error-", 30)) {
					buf_put(&c->trailers, h.name, h.name_len);
					buf_puts(&c->trailers, ": ");
					buf_put(&c->trailers, h.value, h.value_len);
					buf_puts(&c->trailers, "\r\n");
				}
			} else {
				c->stage = WHOLE;
			}
			buf_take(&c->in, used);
			break;
		case WHOLE:
			on_end(c);
			if (c->stage == WHOLE)
				return 0; /* its answer comes later */
			break;
		}
	}
	return 0;
}

void http_done(struct conn *c)
{
	free(c->req.head);
	c->req.head = NULL;
	buf_free(&c->body);
	buf_free(&c->trailers);
	c->swallowed = false;
	c->stage = HEAD;
	if (!c->req.keep)
		c->closing = true;
}

bool base64_decode(struct buf *to, const char *s, size_t n)
{
	unsigned v = 0;
	int bits = 0;

	for (; n && *s != '='; n--, s++) {
		static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		const char *d = *s ? strchr(digits, *s) : NULL;

		if (!d)
			return false;
		v = v << 6 | (d - digits);
		if ((bits += 6) >= 8) {
			char byte = v >> (bits -= 8);
			buf_put(to, &byte, 1);
		}
	}
	return true;
}
