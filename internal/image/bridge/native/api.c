/* SPDX-License-Identifier: Apache-2.0 */
/* api.c: the Lambda Runtime API, as the runtime's process calls it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "bridge.h"

enum act { NONE, NEXT, RESPONSE, STREAMED, ERROR, INIT_ERROR, UNKNOWN_ID, WRONG_STATE };

#define BASE "/2018-06-01/runtime/"

static void reply_error(struct conn *c, int status, const char *type, const char *message)
{
	struct buf b = {0};

	buf_printf(&b, "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}", message, type);
	http_reply(c, status, "application/json", b.p + b.off, BUF_LEFT(&b));
	buf_free(&b);
	http_done(c);
}

static void reply_ok(struct conn *c)
{
	static const char ok[] = "{\"status\":\"OK\"}\n";

	http_reply(c, 202, "application/json", ok, sizeof(ok) - 1);
	http_done(c);
}

int pollers(void)
{
	int n = 0;

	for (struct conn *c = conns; c; c = c->next)
		n += c->polling && !c->dead && !c->closing;
	return n;
}

static struct invocation *find(const char *id, size_t n)
{
	for (struct invocation *v = invocations; v; v = v->next)
		if (strlen(v->id) == n && !memcmp(v->id, id, n))
			return v;
	return NULL;
}

/* What a path under BASE asks for. */
static enum act route(struct conn *c, const char **id, size_t *len)
{
	const char *p = c->req.path;

	if (strncmp(p, BASE, sizeof(BASE) - 1))
		return NONE;
	p += sizeof(BASE) - 1;
	if (!strcmp(p, "init/error"))
		return INIT_ERROR;
	if (strncmp(p, "invocation/", 11))
		return NONE;
	p += 11;
	if (!strcmp(p, "next"))
		return NEXT;
	*id = p;
	*len = strcspn(p, "/");
	p += *len;
	return !strcmp(p, "/response") ? RESPONSE : !strcmp(p, "/error") ? ERROR : NONE;
}

/* The body of a request that is refused is read to its end first: who sends it does not look for an answer before. */
void api_head(struct conn *c)
{
	const char *id = NULL;
	size_t len = 0;

	c->act = route(c, &id, &len);
	if (c->act == RESPONSE || c->act == ERROR) {
		struct invocation *v = find(id, len);

		c->inv = NULL;
		if (!v || !v->handed || v->poster) {
			c->act = v ? WRONG_STATE : UNKNOWN_ID;
			return;
		}
		c->inv = v;
		v->poster = c;
		const char *mode = header_get(c->req.headers, c->req.count, "Lambda-Runtime-Function-Response-Mode", &len);
		if (c->act == RESPONSE && mode && !strcasecmp(mode, "streaming")) {
			c->act = STREAMED;
			const struct header *content = NULL;
			for (int i = 0; i < c->req.count; i++)
				if (header_is(&c->req.headers[i], "Content-Type"))
					content = &c->req.headers[i];
			answer_begin(v, content);
		}
	}
}

void api_body(struct conn *c, const char *p, size_t n)
{
	if (c->act == STREAMED) {
		if (c->inv)
			answer_part(c->inv, p, n);
	} else if (c->act == NONE || c->act == UNKNOWN_ID || c->act == WRONG_STATE || BUF_LEFT(&c->body) + n > PAYLOAD_MAX) {
		c->swallowed = true;
		buf_free(&c->body);
	} else if (!c->swallowed) {
		buf_put(&c->body, p, n);
	}
}

/* A streamed answer is read no faster than the node takes it. */
bool api_wants(struct conn *c)
{
	return c->stage != WHOLE && !(c->act == STREAMED && c->stage != HEAD && c->inv && c->inv->node && BUF_LEFT(&c->inv->node->out) > OUT_HIGH);
}

static const struct header *field(struct conn *c, const char *name)
{
	for (int i = 0; i < c->req.count; i++)
		if (header_is(&c->req.headers[i], name))
			return &c->req.headers[i];
	return NULL;
}

/* A trailer that came, without its line's end. */
static const char *trailer(struct conn *c, const char *name, size_t *len)
{
	const char *p = c->trailers.p + c->trailers.off, *end = p + BUF_LEFT(&c->trailers);

	while (p < end) {
		const char *nl = memchr(p, '\r', end - p);
		size_t n = strlen(name);

		if ((size_t)(nl - p) > n + 2 && !strncasecmp(p, name, n) && p[n] == ':') {
			*len = nl - p - n - 2;
			return p + n + 2;
		}
		p = nl + 2;
	}
	return NULL;
}

static void whole_response(struct conn *c)
{
	struct invocation *v = c->inv;
	struct header type = {0};
	const char *text;
	size_t n;

	type.value = trailer(c, "Lambda-Runtime-Function-Error-Type", &type.value_len);
	if (!type.value) {
		answer(v, NULL, field(c, "Content-Type"), c->body.p + c->body.off, BUF_LEFT(&c->body));
		return;
	}
	struct buf decoded = {0};
	text = trailer(c, "Lambda-Runtime-Function-Error-Body", &n);
	if (text && base64_decode(&decoded, text, n))
		answer(v, &type, NULL, decoded.p + decoded.off, BUF_LEFT(&decoded));
	else
		answer_error(v, "Runtime.Unknown", "the answer ended with an error");
	buf_free(&decoded);
}

static void init_error(struct conn *c)
{
	char text[12 << 10];
	size_t n = BUF_LEFT(&c->body) < sizeof(text) - 1 ? BUF_LEFT(&c->body) : sizeof(text) - 1;

	if (initialised) {
		reply_error(c, 403, "InvalidStateTransition", "The function is initialised");
		return;
	}
	for (size_t i = 0; i < n; i++) /* one line of the log */
		text[i] = (unsigned char)c->body.p[c->body.off + i] < ' ' ? ' ' : c->body.p[c->body.off + i];
	text[n] = 0;
	init_reported = true;
	say("%s", text);
	reply_ok(c);
}

static void next(struct conn *c)
{
	c->polling = true;
	if (!initialised) {
		initialised = true;
		listen_for_node();
	}
	for (struct conn *o = conns; o; o = o->next)
		if (o->node && o->inv && !o->inv->handed && hand_out(o))
			return;
}

void api_end(struct conn *c)
{
	bool get = !strcmp(c->req.method, "GET");

	if (c->polling)
		return;
	if (c->act != NONE && get != (c->act == NEXT)) { /* the others are POSTed */
		if (c->inv)
			c->inv->poster = NULL;
		c->inv = NULL;
		reply_error(c, 405, "MethodNotAllowed", "Wrong method");
		return;
	}
	switch ((enum act)c->act) {
	case NEXT:
		next(c);
		return;
	case INIT_ERROR:
		init_error(c);
		return;
	case RESPONSE:
	case ERROR:
		if (!c->inv) {
			reply_ok(c); /* the bridge itself ended the invocation */
		} else if (c->swallowed) {
			static const char large[] = "Response payload size exceeded maximum allowed payload size (6291556 bytes).";
			answer_error(c->inv, "Function.ResponseSizeTooLarge", large);
			reply_error(c, 413, "RequestEntityTooLarge", large);
		} else {
			if (c->act == RESPONSE) {
				whole_response(c);
			} else {
				static const struct header unknown = {"", "Runtime.Unknown", 0, 15};
				const struct header *type = field(c, "Lambda-Runtime-Function-Error-Type");
				answer(c->inv, type ? type : &unknown, NULL, c->body.p + c->body.off, BUF_LEFT(&c->body));
			}
			reply_ok(c);
		}
		return;
	case STREAMED:
		if (c->inv)
			answer_end(c->inv, &c->trailers);
		reply_ok(c);
		return;
	case WRONG_STATE:
		reply_error(c, 403, "InvalidStateTransition", "The invocation is being answered");
		return;
	case UNKNOWN_ID:
		reply_error(c, 400, "InvalidRequestID", "Invalid request ID");
		return;
	case NONE:
		reply_error(c, 404, "NotFound", "There is no such resource");
	}
}

void api_close(struct conn *c)
{
	struct invocation *v = c->inv;

	c->inv = NULL;
	if (!v)
		return;
	v->poster = NULL;
	answer_error(v, "Runtime.TruncatedResponse", "The runtime's answer broke off");
}

bool hand_out(struct conn *node)
{
	struct conn *to = NULL;

	for (struct conn *c = conns; c; c = c->next)
		if (c->polling && !c->dead && !c->closing)
			to = c;
	if (!to)
		return false; /* it left meanwhile: the next one gets it */
	to->polling = false;
	struct buf *o = &to->out;
	buf_puts(o, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
	for (int i = 0; i < node->req.count; i++) {
		struct header *h = &node->req.headers[i];

		if (h->name_len < 15 || strncasecmp(h->name, "Lambda-Runtime-", 15))
			continue;
		buf_put(o, h->name, h->name_len);
		buf_puts(o, ": ");
		buf_put(o, h->value, h->value_len);
		buf_puts(o, "\r\n");
	}
	buf_printf(o, "Content-Length: %zu\r\n\r\n", BUF_LEFT(&node->body));
	buf_put(o, node->body.p + node->body.off, BUF_LEFT(&node->body));
	buf_free(&node->body);
	node->inv->handed = true;
	http_done(to);
	return true;
}
