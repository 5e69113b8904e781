/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h: process 1 of an instance of contract lambda.
 *
 *	node ── HTTP on $PORT ──▶ bridge ◀── Lambda Runtime API on 127.0.0.1:9001 ── runtime, a child
 *
 * An event comes as a request of the node and goes to the runtime as the answer to its GET …/next; what the runtime posts is the answer to the node. $PORT
 * is listened on from the first GET …/next on: that is when the function is initialised, and when its snapshot is taken. A
 * request is read from the node's stream only when the runtime waits for one: if the runtime ends before, the stream is
 * reset with the request unread, and the node knows that nobody has seen it.
 *
 * One thread, poll, no limit on waiting: time limits are the node's affair.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	API_PORT = 9001,
	PAYLOAD_MAX = 6291556,        /* of an event, and of an answer that is not streamed: as in AWS Lambda */
	HEAD_MAX = (1 << 20) + 65536, /* of a request; a cause for X-Ray alone may have 1 MiB */
	TRAILER_MAX = 1 << 20,
	HEADERS_MAX = 256,
	ID_MAX = 128,
	OUT_HIGH = 256 << 10,         /* bytes that wait for the node before no more is read of a streamed answer */
};

/* buf.c: bytes in a row. */
struct buf {
	char *p;
	size_t off, len, cap; /* the bytes are p[off] to p[len-1] */
};

#define BUF_LEFT(b) ((b)->len - (b)->off)

void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_take(struct buf *b, size_t n); /* n bytes of its start are used up */
void buf_free(struct buf *b);
char *buf_room(struct buf *b, size_t n); /* n bytes behind its end, to be counted in len */
void buf_json(struct buf *b, const char *s, size_t n); /* the inside of a JSON string */

/* http.c: requests, as they come. */
struct header {
	const char *name, *value;
	size_t name_len, value_len;
};

struct request {
	char *head; /* what name and value point into */
	const char *method, *path;
	struct header headers[HEADERS_MAX];
	int count;
	bool keep;    /* the connection goes on afterwards */
	bool expects; /* 100-continue */
	bool chunked;
	uint64_t left; /* bytes of the body, or of the current chunk */
};

enum stage { HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, WHOLE };

struct conn;

const char *header_get(const struct header *h, int n, const char *name, size_t *len);
bool header_is(const struct header *h, const char *name);
/* http_feed goes through what has come, as far as it goes. -1: it is no HTTP, and was answered. */
int http_feed(struct conn *c);
void http_done(struct conn *c); /* the request was answered */
void http_reply(struct conn *c, int status, const char *type, const char *body, size_t n);
bool base64_decode(struct buf *to, const char *s, size_t n);

/* A connection, of the node or of the runtime. */
struct conn {
	int fd;
	bool node;    /* or it is the runtime's */
	bool closing; /* when all is sent */
	bool dead;    /* to be freed at the end of the round */
	bool polling; /* the runtime's: its GET …/next waits */
	enum stage stage;
	struct request req;
	size_t trailer;    /* bytes of trailers */
	struct buf in, out;
	struct buf body;   /* what is kept of it */
	struct buf trailers; /* the two of interest, as lines */
	int act;           /* what the request is for: enum act in api.c */
	bool swallowed;    /* more body came than is taken */
	struct invocation *inv;
	struct conn *next;
};

/* One event on its way. */
struct invocation {
	char id[ID_MAX + 1];
	struct conn *node;    /* NULL: the caller has left */
	struct conn *poster;  /* the runtime's connection that brings the answer */
	bool handed;          /* the runtime has it */
	bool begun;           /* the answer's head went out: it is streamed */
	bool tail;            /* the end is to be seen in the log */
	struct invocation *next;
};

/* main.c */
extern struct conn *conns;
extern struct invocation *invocations;
extern bool initialised;   /* the first GET …/next has come */
extern bool init_reported; /* POST …/init/error */
void die(const char *what) __attribute__((noreturn));
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void listen_for_node(void);
void forget(struct invocation *v); /* it is over */

/* Called by http.c as a request comes. Afterwards the connection may be dead. */
void on_head(struct conn *c);
void on_body(struct conn *c, const char *p, size_t n);
void on_end(struct conn *c);
void on_close(struct conn *c); /* it ended */
bool wants(struct conn *c);    /* more of it may be read now */

/* api.c: the runtime's side. */
void api_head(struct conn *c);
void api_body(struct conn *c, const char *p, size_t n);
void api_end(struct conn *c);
void api_close(struct conn *c);
bool api_wants(struct conn *c);
bool hand_out(struct conn *node); /* a request of the node is whole: the runtime gets it, if it waits for one */
int pollers(void);

/* node.c: the node's side. */
void node_head(struct conn *c);
void node_body(struct conn *c, const char *p, size_t n);
void node_end(struct conn *c);
void node_close(struct conn *c);
bool node_wants(struct conn *c);
/* The answer to an invocation, which is over then. type is that of the error, or NULL. */
void answer(struct invocation *v, const struct header *type, const struct header *content, const char *p, size_t n);
void answer_error(struct invocation *v, const char *type, const char *message);
void answer_begin(struct invocation *v, const struct header *content); /* a streamed one */
void answer_part(struct invocation *v, const char *p, size_t n);
void answer_end(struct invocation *v, const struct buf *trailers);
void answer_break(struct invocation *v); /* it never looks whole */
