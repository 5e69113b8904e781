/* SPDX-License-Identifier: Apache-2.0 */
/* node.c: events as the node brings them, and their answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "bridge.h"

/* A request is begun only for a poller that is there: see bridge.h. */
bool node_wants(struct conn *c)
{
	int reading = 0;

	if (c->stage == WHOLE)
		return false;
	if (c->stage != HEAD || BUF_LEFT(&c->in))
		return true;
	for (struct conn *o = conns; o; o = o->next)
		reading += o->node && !o->dead && (o->stage != HEAD || BUF_LEFT(&o->in)) && !(o->inv && o->inv->node == o);
	return reading < pollers();
}

static void refuse(struct conn *c, int status, const char *why)
{
	c->req.keep = false;
	http_reply(c, status, "text/plain", why, strlen(why));
	http_done(c);
}

void node_head(struct conn *c)
{
	if (strcmp(c->req.method, "POST"))
		refuse(c, 405, "an event is POSTed\n");
	else if (c->req.left > PAYLOAD_MAX)
		refuse(c, 413, "the event is too large\n");
}

void node_body(struct conn *c, const char *p, size_t n)
{
	if (BUF_LEFT(&c->body) + n > PAYLOAD_MAX)
		refuse(c, 413, "the event is too large\n");
	else
		buf_put(&c->body, p, n);
}

static bool valid_id(const char *s, size_t n)
{
	if (!n || n > ID_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", s[i]))
			return false;
	return true;
}

void node_end(struct conn *c)
{
	size_t n = 0, ignored;
	const char *id = header_get(c->req.headers, c->req.count, "Lambda-Runtime-Aws-Request-Id", &n);

	if (c->inv)
		return;
	if (!id || !valid_id(id, n)) {
		refuse(c, 400, "the event has no valid request id\n");
		return;
	}
	struct invocation *v = calloc(1, sizeof(*v));
	if (!v)
		die("memory");
	memcpy(v->id, id, n);
	v->node = c;
	v->tail = header_get(c->req.headers, c->req.count, "Unifaas-Log-Tail", &ignored);
	v->next = invocations;
	invocations = v;
	c->inv = v;
	hand_out(c);
}

void node_close(struct conn *c)
{
	struct invocation *v = c->inv;

	c->inv = NULL;
	if (!v)
		return;
	v->node = NULL; /* the runtime goes on; nobody hears of it */
	if (!v->handed)
		forget(v);
}

void forget(struct invocation *v)
{
	struct invocation **at = &invocations;

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	if (v->node) {
		v->node->inv = NULL;
		http_done(v->node);
	}
	if (v->poster)
		v->poster->inv = NULL;
	free(v);
}

static void mark_end(struct invocation *v)
{
	if (v->tail)
		say("END RequestId: %s", v->id);
}

static void put_header(struct buf *b, const char *name, const struct header *h)
{
	if (!h)
		return;
	buf_puts(b, name);
	buf_puts(b, ": ");
	buf_put(b, h->value, h->value_len);
	buf_puts(b, "\r\n");
}

void answer(struct invocation *v, const struct header *type, const struct header *content, const char *p, size_t n)
{
	mark_end(v);
	if (v->node) {
		struct buf *o = &v->node->out;

		buf_puts(o, "HTTP/1.1 200 OK\r\n");
		if (!content)
			buf_puts(o, "Content-Type: application/json\r\n");
		put_header(o, "Content-Type", content);
		if (type) {
			buf_puts(o, "X-Amz-Function-Error: Unhandled\r\n");
			put_header(o, "Lambda-Runtime-Function-Error-Type", type);
		}
		buf_printf(o, "Content-Length: %zu\r\n%s\r\n", n, v->node->req.keep ? "" : "Connection: close\r\n");
		buf_put(o, p, n);
	}
	forget(v);
}

void answer_error(struct invocation *v, const char *type, const char *message)
{
	struct buf b = {0};
	struct header h = {"", type, 0, strlen(type)};

	if (v->begun) {
		answer_break(v);
		return;
	}
	buf_puts(&b, "{\"errorMessage\":\"");
	buf_json(&b, message, strlen(message));
	buf_puts(&b, "\",\"errorType\":\"");
	buf_json(&b, type, strlen(type));
	buf_puts(&b, "\"}");
	answer(v, &h, NULL, b.p + b.off, BUF_LEFT(&b));
	buf_free(&b);
}

void answer_begin(struct invocation *v, const struct header *content)
{
	v->begun = true;
	if (!v->node)
		return;
	struct buf *o = &v->node->out;
	buf_puts(o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n"
		    "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n");
	if (!content)
		buf_puts(o, "Content-Type: application/octet-stream\r\n");
	put_header(o, "Content-Type", content);
	buf_puts(o, v->node->req.keep ? "\r\n" : "Connection: close\r\n\r\n");
}

void answer_part(struct invocation *v, const char *p, size_t n)
{
	if (!v->node || !n)
		return;
	buf_printf(&v->node->out, "%zx\r\n", n);
	buf_put(&v->node->out, p, n);
	buf_puts(&v->node->out, "\r\n");
}

void answer_end(struct invocation *v, const struct buf *trailers)
{
	mark_end(v);
	if (v->node) {
		buf_puts(&v->node->out, "0\r\n");
		buf_put(&v->node->out, trailers->p + trailers->off, BUF_LEFT(trailers));
		buf_puts(&v->node->out, "\r\n");
	}
	forget(v);
}

void answer_break(struct invocation *v)
{
	mark_end(v);
	if (v->node)
		v->node->req.keep = false; /* closed without the last chunk */
	forget(v);
}
