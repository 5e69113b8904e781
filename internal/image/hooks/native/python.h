/* SPDX-License-Identifier: Apache-2.0 */
/* python.h: what python.c uses of Python's stable ABI (PEP 384), declared here so that building needs no Python. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef intptr_t Py_ssize_t;
typedef struct type PyTypeObject;
typedef struct object { Py_ssize_t refs; PyTypeObject *type; } PyObject;

typedef struct { const char *name; PyObject *(*function)(PyObject *, PyObject *); int flags; const char *doc; } PyMethodDef;
typedef struct { const char *name; PyObject *(*get)(PyObject *, void *); int (*set)(PyObject *, PyObject *, void *); const char *doc; void *closure; } PyGetSetDef;
typedef struct { int slot; void *function; } PyType_Slot, PyModuleDef_Slot;
typedef struct { const char *name; int size, itemsize; unsigned flags; PyType_Slot *slots; } PyType_Spec;
typedef struct {
	PyObject object;
	PyObject *(*init)(void);
	Py_ssize_t index;
	PyObject *copy;
	const char *name, *doc;
	Py_ssize_t size;
	PyMethodDef *methods;
	PyModuleDef_Slot *slots;
	void *traverse, *clear, *free;
} PyModuleDef;

enum { METH_NOARGS = 4, METH_O = 8, METH_VARARGS = 1 };
enum { Py_mod_exec = 2 };
enum { Py_tp_dealloc = 52, Py_tp_doc = 56, Py_tp_getset = 73, Py_tp_init = 60, Py_tp_methods = 64, Py_tp_new = 65, Py_tp_free = 74 };
#define Py_TPFLAGS_BASETYPE (1u << 10)
#define Py_TPFLAGS_LONG_SUBCLASS (1ul << 24)
#define Py_TPFLAGS_TUPLE_SUBCLASS (1ul << 26)

extern PyObject _Py_NoneStruct, *PyExc_TypeError, *PyExc_ValueError, *PyExc_OverflowError, *PyExc_AttributeError, *PyExc_OSError;
extern PyTypeObject PyLong_Type;
void Py_IncRef(PyObject *), Py_DecRef(PyObject *);
void PyErr_SetString(PyObject *, const char *);
PyObject *PyErr_Occurred(void), *PyErr_NoMemory(void);
unsigned long PyType_GetFlags(PyTypeObject *);
void *PyType_GetSlot(PyTypeObject *, int);
PyObject *PyType_FromModuleAndSpec(PyObject *, PyType_Spec *, PyObject *);
PyObject *PyType_GenericNew(PyTypeObject *, PyObject *, PyObject *);
int PyModule_AddObjectRef(PyObject *, const char *, PyObject *);
PyObject *PyModuleDef_Init(PyModuleDef *);
long PyLong_AsLong(PyObject *);
unsigned long PyLong_AsUnsignedLong(PyObject *);
PyObject *PyLong_FromLong(long), *PyLong_FromUnsignedLong(unsigned long), *PyLong_FromSize_t(size_t), *PyFloat_FromDouble(double);
Py_ssize_t PyObject_Hash(PyObject *);
Py_ssize_t PyDict_Size(PyObject *);
Py_ssize_t PyTuple_Size(PyObject *);
PyObject *PyTuple_New(Py_ssize_t), *PyTuple_GetItem(PyObject *, Py_ssize_t);
int PyTuple_SetItem(PyObject *, Py_ssize_t, PyObject *);
PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t);
char *PyBytes_AsString(PyObject *);
PyObject *PyObject_CallMethod(PyObject *, const char *, const char *, ...);
