/* SPDX-License-Identifier: Apache-2.0 */
/*
 * python.c: Python's module _random, whose generators take new seed where another process has the same state.
 *
 * Random() is the Mersenne twister it is everywhere: the same seed gives the same numbers. What differs: a generator that
 * was seeded by the system (no seed, or None) and not by the program notices that it was copied, by fork or into an instance of
 * a snapshot, and seeds itself anew before it gives its next number. The check is a load: a word of a page that the kernel
 * wipes in each copy. No thread, no signal, and it comes before the number whichever thread asks.
 */
#include "python.h"
#include "system.h"

enum { N = 624, M = 397 };

typedef struct {
	PyObject head;
	int at;          /* of the next word; N: none is left */
	int by_system;   /* seeded by the system, not by the program */
	uint64_t copy;   /* the copy of the process that seeded it */
	PyObject *gauss; /* random.Random keeps every other normal variate: gauss_next, or NULL */
	uint32_t word[N];
} generator;

static volatile uint64_t *page; /* its first word is not 0 unless the page was wiped */
static uint64_t copies = 1;

/* The mutual exclusion of all this is Python's own lock. */
static uint64_t this_copy(void)
{
	if (page && __builtin_expect(!*page, 0)) {
		copies++;
		*page = 1;
	}
	return copies;
}

static void init_word(generator *g, uint32_t s)
{
	g->word[0] = s;
	for (int i = 1; i < N; i++)
		g->word[i] = 1812433253u * (g->word[i - 1] ^ (g->word[i - 1] >> 30)) + i;
	g->at = N;
}

static void init_words(generator *g, const uint32_t *key, size_t n)
{
	uint32_t *w = g->word;
	size_t i = 1, j = 0;

	init_word(g, 19650218u);
	for (size_t k = n > N ? n : N; k; k--) {
		w[i] = (w[i] ^ ((w[i - 1] ^ (w[i - 1] >> 30)) * 1664525u)) + key[j] + (uint32_t)j;
		if (++i >= N) {
			w[0] = w[N - 1];
			i = 1;
		}
		if (++j >= n)
			j = 0;
	}
	for (size_t k = N - 1; k; k--) {
		w[i] = (w[i] ^ ((w[i - 1] ^ (w[i - 1] >> 30)) * 1566083941u)) - (uint32_t)i;
		if (++i >= N) {
			w[0] = w[N - 1];
			i = 1;
		}
	}
	w[0] = 0x80000000u;
}

static void forget_gauss(generator *g)
{
	PyObject *o = g->gauss;
	g->gauss = NULL;
	if (o)
		Py_DecRef(o);
}

static int seed_by_system(generator *g)
{
	uint32_t key[N];
	if (!system_random(key, sizeof key)) {
		PyErr_SetString(PyExc_OSError, "the system has no random numbers");
		return -1;
	}
	init_words(g, key, N);
	for (volatile uint32_t *p = key; p < key + N; p++)
		*p = 0;
	forget_gauss(g);
	g->by_system = 1;
	g->copy = this_copy();
	return 0;
}

/* Comes before each number. */
static inline int ready(generator *g)
{
	if (__builtin_expect(this_copy() == g->copy || !g->by_system, 1))
		return 0;
	return seed_by_system(g);
}

static uint32_t next(generator *g)
{
	uint32_t *w = g->word, y;

	if (g->at >= N) {
		for (int i = 0; i < N; i++) {
			y = (w[i] & 0x80000000u) | (w[(i + 1) % N] & 0x7fffffffu);
			w[i] = w[(i + M) % N] ^ (y >> 1) ^ (-(y & 1) & 0x9908b0dfu);
		}
		g->at = 0;
	}
	y = w[g->at++];
	y ^= y >> 11;
	y ^= (y << 7) & 0x9d2c5680u;
	y ^= (y << 15) & 0xefc60000u;
	return y ^ (y >> 18);
}

static PyObject *none(void)
{
	Py_IncRef(&_Py_NoneStruct);
	return &_Py_NoneStruct;
}

static int is(PyObject *o, unsigned long kind) { return (PyType_GetFlags(o->type) & kind) != 0; }

static int seed(generator *g, PyObject *arg)
{
	PyObject *n, *bits = NULL, *bytes = NULL;
	long words = -1;

	if (!arg || arg == &_Py_NoneStruct)
		return seed_by_system(g);
	if (is(arg, Py_TPFLAGS_LONG_SUBCLASS)) {
		n = PyObject_CallMethod((PyObject *)&PyLong_Type, "__abs__", "O", arg); /* int's own, whatever a subclass has */
	} else {
		Py_ssize_t h = PyObject_Hash(arg);
		n = h == -1 && PyErr_Occurred() ? NULL : PyLong_FromSize_t((size_t)h);
	}
	if (n)
		bits = PyObject_CallMethod(n, "bit_length", NULL);
	if (bits && (words = PyLong_AsLong(bits)) >= 0) {
		words = words ? (words - 1) / 32 + 1 : 1;
		bytes = PyObject_CallMethod(n, "to_bytes", "ns", words * 4, "little");
	}
	if (bytes) {
		init_words(g, (uint32_t *)PyBytes_AsString(bytes), words); /* its bytes are aligned: they follow a header of words */
		g->by_system = 0;
		Py_DecRef(bytes);
	}
	if (bits)
		Py_DecRef(bits);
	if (n)
		Py_DecRef(n);
	return bytes ? 0 : -1;
}

static int init(PyObject *self, PyObject *args, PyObject *keywords)
{
	int (*own)(PyObject *, PyObject *, PyObject *) = PyType_GetSlot(self->type, Py_tp_init);

	if (own == init && keywords && PyDict_Size(keywords)) {
		PyErr_SetString(PyExc_TypeError, "Random() takes no keyword arguments");
		return -1;
	}
	if (PyTuple_Size(args) > 1) {
		PyErr_SetString(PyExc_TypeError, "Random() requires 0 or 1 argument");
		return -1;
	}
	return seed((generator *)self, PyTuple_Size(args) ? PyTuple_GetItem(args, 0) : NULL);
}

static void dealloc(PyObject *self)
{
	PyTypeObject *type = self->type;
	void (*release)(void *) = PyType_GetSlot(type, Py_tp_free);

	forget_gauss((generator *)self);
	release(self);
	Py_DecRef((PyObject *)type);
}

static PyObject *random_seed(PyObject *self, PyObject *args)
{
	if (PyTuple_Size(args) > 1) {
		PyErr_SetString(PyExc_TypeError, "seed expected at most 1 argument");
		return NULL;
	}
	return seed((generator *)self, PyTuple_Size(args) ? PyTuple_GetItem(args, 0) : NULL) ? NULL : none();
}

static PyObject *random_random(PyObject *self, PyObject *unused)
{
	generator *g = (generator *)self;
	if (ready(g))
		return NULL;
	uint32_t a = next(g) >> 5, b = next(g) >> 6;
	return PyFloat_FromDouble((a * 67108864.0 + b) * (1.0 / 9007199254740992.0));
}

static PyObject *random_getrandbits(PyObject *self, PyObject *arg)
{
	generator *g = (generator *)self;
	long k = PyLong_AsLong(arg);

	if (k == -1 && PyErr_Occurred())
		return NULL;
	if (k > INT32_MAX || k < INT32_MIN) {
		PyErr_SetString(PyExc_OverflowError, k > 0 ? "Python int too large to convert to C int" : "Python int too small to convert to C int");
		return NULL;
	}
	if (k < 0) {
		PyErr_SetString(PyExc_ValueError, "number of bits must be non-negative");
		return NULL;
	}
	if (!k)
		return PyLong_FromLong(0);
	if (ready(g))
		return NULL;
	if (k <= 32)
		return PyLong_FromUnsignedLong(next(g) >> (32 - k));
	long words = (k - 1) / 32 + 1;
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, words * 4);
	if (!bytes)
		return NULL;
	char *to = PyBytes_AsString(bytes);
	for (long i = 0; i < words; i++, k -= 32) {
		uint32_t r = next(g);
		if (k < 32)
			r >>= 32 - k;
		__builtin_memcpy(to + 4 * i, &r, 4);
	}
	PyObject *n = PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "Os", bytes, "little");
	Py_DecRef(bytes);
	return n;
}

static PyObject *random_getstate(PyObject *self, PyObject *unused)
{
	generator *g = (generator *)self;
	if (ready(g))
		return NULL;
	PyObject *state = PyTuple_New(N + 1);
	for (int i = 0; state && i <= N; i++) {
		PyObject *n = i < N ? PyLong_FromUnsignedLong(g->word[i]) : PyLong_FromLong(g->at);
		if (!n || PyTuple_SetItem(state, i, n)) {
			Py_DecRef(state);
			return NULL;
		}
	}
	return state;
}

static PyObject *random_setstate(PyObject *self, PyObject *state)
{
	generator *g = (generator *)self;
	uint32_t word[N];

	if (!is(state, Py_TPFLAGS_TUPLE_SUBCLASS)) {
		PyErr_SetString(PyExc_TypeError, "state vector must be a tuple");
		return NULL;
	}
	if (PyTuple_Size(state) != N + 1) {
		PyErr_SetString(PyExc_ValueError, "state vector is the wrong size");
		return NULL;
	}
	for (int i = 0; i < N; i++) {
		unsigned long v = PyLong_AsUnsignedLong(PyTuple_GetItem(state, i));
		if (v == -1ul && PyErr_Occurred())
			return NULL;
		word[i] = v;
	}
	long at = PyLong_AsLong(PyTuple_GetItem(state, N));
	if (at == -1 && PyErr_Occurred())
		return NULL;
	if (at < 0 || at > N) {
		PyErr_SetString(PyExc_ValueError, "invalid state");
		return NULL;
	}
	__builtin_memcpy(g->word, word, sizeof word);
	g->at = at;
	g->by_system = 0;
	return none();
}

/* An attribute of random.Random, which would be used without asking for a number: it has to be forgotten as well. */
static PyObject *get_gauss(PyObject *self, void *unused)
{
	generator *g = (generator *)self;
	if (ready(g))
		return NULL;
	if (!g->gauss)
		return none();
	Py_IncRef(g->gauss);
	return g->gauss;
}

static int set_gauss(PyObject *self, PyObject *value, void *unused)
{
	forget_gauss((generator *)self);
	if (value && value != &_Py_NoneStruct) {
		Py_IncRef(value);
		((generator *)self)->gauss = value;
	}
	return 0;
}

static PyMethodDef methods[] = {
	{ "random", random_random, METH_NOARGS, "random($self, /)\n--\n\nrandom() -> x in the interval [0, 1)." },
	{ "seed", random_seed, METH_VARARGS, "seed($self, n=None, /)\n--\n\nseed([n]) -> None.\n\nDefaults to use urandom and falls back to a combination\n"
	  "of the current time and the process identifier." },
	{ "getstate", random_getstate, METH_NOARGS, "getstate($self, /)\n--\n\ngetstate() -> tuple containing the current state." },
	{ "setstate", random_setstate, METH_O, "setstate($self, state, /)\n--\n\nsetstate(state) -> None.  Restores generator state." },
	{ "getrandbits", random_getrandbits, METH_O, "getrandbits($self, k, /)\n--\n\ngetrandbits(k) -> x.  Generates an int with k random bits." },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef attributes[] = { { "gauss_next", get_gauss, set_gauss, NULL, NULL }, { NULL, NULL, NULL, NULL, NULL } };
static PyType_Slot slots[] = {
	{ Py_tp_doc, "Random() -> create a random number generator with its own internal state." },
	{ Py_tp_new, PyType_GenericNew }, { Py_tp_init, init }, { Py_tp_dealloc, dealloc },
	{ Py_tp_methods, methods }, { Py_tp_getset, attributes }, { 0, NULL },
};
static PyType_Spec spec = { "_random.Random", sizeof(generator), 0, Py_TPFLAGS_BASETYPE, slots };

static int exec(PyObject *module)
{
	if (!page && (page = wiped_page()))
		*page = 1;
	PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
	int err = type ? PyModule_AddObjectRef(module, "Random", type) : -1;
	if (type)
		Py_DecRef(type);
	return err;
}

static PyModuleDef_Slot module_slots[] = { { Py_mod_exec, exec }, { 0, NULL } };
static PyModuleDef module = { .object = { 1, NULL }, .name = "_random", .slots = module_slots,
	.doc = "Module implements the Mersenne Twister random number generator, with new seed after a restore." };

__attribute__((visibility("default"))) PyObject *PyInit__unifaas_random(void) { return PyModuleDef_Init(&module); }
