/* Every function of Python's that this extension calls, in a frame that no thread is unwound through.
 *
 * Up to Python 3.13 a thread that wants the interpreter's lock while the interpreter ends (a daemon's) is ended by pthread_exit, which
 * glibc makes an unwinding of all its frames. Rust takes that for a foreign exception, and aborts the process. And nearly all of Python's
 * functions may want the lock: they run code of somebody's (a number's __float__, an object's __del__, with the collector any object's),
 * and code lets the lock go and takes it back.
 *
 * So the linker (build.rs) leads each call of a function NAME below to __wrap_NAME, whoever makes it, PyO3 too. That is a frame of C's
 * between Python's and Rust's, and as far as the unwinding comes: what cleans this frame up never returns, and the thread stays there
 * for the moment that is left, as every such thread does from Python 3.14 on. That is well defined in C: with -fexceptions, GCC and
 * Clang run cleanups when a thread is ended.
 *
 * tests/test_stay.py holds the installed extension to this list: it uses no other function of Python's. (In Python 3.9 alone PyO3 reads
 * slots without asking; it makes objects there by the base type's own function.)
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static void stay_unless(const int *is_done) {
    if (!*is_done) {
        for (;;) {
            pause();
        }
    }
}

#define STAYING __attribute__((cleanup(stay_unless))) int is_done = 0

/* A function that answers something: its type, its name, its parameters, and those as arguments. build.rs reads the names. */
#define WRAP(type, name, parameters, arguments) \
    extern type __real_##name parameters;       \
    type __wrap_##name parameters {             \
        STAYING;                                \
        type answer = __real_##name arguments;  \
        is_done = 1;                            \
        return answer;                          \
    }

/* One that answers nothing. */
#define WRAP_VOID(name, parameters, arguments) \
    extern void __real_##name parameters;      \
    void __wrap_##name parameters {            \
        STAYING;                               \
        __real_##name arguments;               \
        is_done = 1;                           \
    }

/* One that is led nowhere else: it runs nobody's code, drops nothing that somebody may hold, and makes nothing that the collector looks
 * after, so that it never comes to want the lock. */
#define PLAIN(name)

typedef void *object;
typedef ptrdiff_t size; /* Py_ssize_t */

WRAP(object, PyCMethod_New, (object method, object self, object module, object type), (method, self, module, type))
WRAP_VOID(PyDict_Clear, (object dict), (dict))
WRAP(int, PyDict_Contains, (object dict, object key), (dict, key))
WRAP(object, PyDict_New, (void), ())
WRAP(int, PyDict_SetItem, (object dict, object key, object value), (dict, key, value))
WRAP(int, PyErr_CheckSignals, (void), ())
WRAP(object, PyErr_NewExceptionWithDoc, (const char *name, const char *doc, object base, object dict), (name, doc, base, dict))
WRAP_VOID(PyErr_NormalizeException, (object *type, object *value, object *trace), (type, value, trace))
WRAP_VOID(PyErr_PrintEx, (int set), (set))
WRAP_VOID(PyErr_Restore, (object type, object value, object trace), (type, value, trace))
WRAP_VOID(PyErr_SetExcInfo, (object type, object value, object trace), (type, value, trace))
WRAP_VOID(PyErr_SetObject, (object type, object value), (type, value))
WRAP_VOID(PyErr_SetString, (object type, const char *text), (type, text))
WRAP_VOID(PyErr_WriteUnraisable, (object where), (where))
WRAP_VOID(PyEval_RestoreThread, (void *thread), (thread))
WRAP_VOID(PyException_SetCause, (object error, object cause), (error, cause))
WRAP(int, PyException_SetTraceback, (object error, object trace), (error, trace))
WRAP(double, PyFloat_AsDouble, (object number), (number))
WRAP(int, PyGILState_Ensure, (void), ())
WRAP_VOID(PyGILState_Release, (int state), (state))
WRAP(object, PyImport_Import, (object name), (name))
WRAP(object, PyIter_Next, (object iterator), (iterator))
WRAP(int, PyList_Append, (object list, object item), (list, item))
WRAP(object, PyList_New, (size length), (length))
WRAP(int, PyList_SetItem, (object list, size index, object item), (list, index, item))
WRAP(long, PyLong_AsLong, (object number), (number))
WRAP(unsigned long long, PyLong_AsUnsignedLongLong, (object number), (number))
WRAP(object, PyModule_GetNameObject, (object module), (module))
WRAP(object, PyNumber_Index, (object number), (number))
WRAP(object, PyOS_FSPath, (object path), (path))
WRAP(object, PyObject_Call, (object callable, object args, object kwargs), (callable, args, kwargs))
WRAP(object, PyObject_CallObject, (object callable, object args), (callable, args))
WRAP_VOID(PyObject_ClearWeakRefs, (object self), (self))
WRAP(int, PyObject_DelItem, (object self, object key), (self, key))
WRAP(int, PyObject_GenericSetDict, (object self, object dict, void *context), (self, dict, context))
WRAP(object, PyObject_GetAttr, (object self, object name), (self, name))
WRAP(object, PyObject_GetItem, (object self, object key), (self, key))
WRAP(object, PyObject_GetIter, (object self), (self))
WRAP(int, PyObject_IsTrue, (object self), (self))
WRAP(object, PyObject_Repr, (object self), (self))
WRAP(int, PyObject_SetAttr, (object self, object name, object value), (self, name, value))
WRAP(int, PyObject_SetAttrString, (object self, const char *name, object value), (self, name, value))
WRAP(int, PyObject_SetItem, (object self, object key, object value), (self, key, value))
WRAP(size, PyObject_Size, (object self), (self))
WRAP(object, PyObject_Str, (object self), (self))
WRAP(int, PyTraceBack_Print, (object trace, object file), (trace, file))
WRAP(object, PyTuple_New, (size length), (length))
WRAP(int, PyTuple_SetItem, (object tuple, size index, object item), (tuple, index, item))
WRAP(object, PyType_FromSpec, (void *spec), (spec))
WRAP(object, PyUnicode_AsEncodedString, (object text, const char *encoding, const char *errors), (text, encoding, errors))
WRAP(object, PyUnicode_AsUTF8String, (object text), (text))
WRAP(object, PyUnicode_EncodeFSDefault, (object text), (text))
WRAP(object, PyUnicode_FromStringAndSize, (const char *bytes, size length), (bytes, length))
WRAP_VOID(PyUnicode_InternInPlace, (object *text), (text))
WRAP_VOID(Py_DecRef, (object self), (self))

PLAIN(PyByteArray_AsString)
PLAIN(PyByteArray_Size)
PLAIN(PyBytes_AsString)
PLAIN(PyBytes_FromStringAndSize)
PLAIN(PyBytes_Size)
PLAIN(PyCallable_Check)
PLAIN(PyDict_Next)
PLAIN(PyDict_Size)
PLAIN(PyErr_Fetch)
PLAIN(PyErr_GetExcInfo)
PLAIN(PyErr_GivenExceptionMatches)
PLAIN(PyErr_Occurred)
PLAIN(PyEval_SaveThread)
PLAIN(PyException_GetTraceback)
PLAIN(PyFloat_FromDouble)
PLAIN(PyGILState_GetThisThreadState)
PLAIN(PyLong_FromLong)
PLAIN(PyLong_FromSsize_t)
PLAIN(PyLong_FromUnsignedLongLong)
PLAIN(PyModuleDef_Init)
PLAIN(PyObject_GC_Track)
PLAIN(PyObject_GC_UnTrack)
PLAIN(PySequence_Check)
PLAIN(PyTuple_GetItem)
PLAIN(PyTuple_Size)
PLAIN(PyType_GetFlags)
PLAIN(PyType_IsSubtype)
PLAIN(Py_GetVersion)
PLAIN(Py_IncRef)
PLAIN(Py_IsInitialized)

/* A method's arguments: those of this extension's are far fewer. */
#define ARGUMENTS_MAX 4

extern object __real_PyObject_CallMethodObjArgs(object self, object name, ...);
object __wrap_PyObject_CallMethodObjArgs(object self, object name, ...);

object __wrap_PyObject_CallMethodObjArgs(object self, object name, ...) {
    STAYING;
    object given[ARGUMENTS_MAX + 1] = {NULL};
    va_list arguments;
    va_start(arguments, name);
    for (int at = 0; (given[at] = va_arg(arguments, object)) != NULL; at++) {
        if (at == ARGUMENTS_MAX) {
            abort();
        }
    }
    va_end(arguments);
    object answer = __real_PyObject_CallMethodObjArgs(self, name, given[0], given[1], given[2], given[3], NULL);
    is_done = 1;
    return answer;
}

/* PyO3 makes its objects by what stands in a slot of their base's type, and all bases here are `object`. */
#define TP_NEW 65

typedef object (*new_function)(object type, object args, object kwargs);
extern char PyBaseObject_Type[];
extern void *__real_PyType_GetSlot(object type, int slot);
void *__wrap_PyType_GetSlot(object type, int slot);

static object new_object(object type, object args, object kwargs) {
    STAYING;
    new_function new = (new_function)__real_PyType_GetSlot(PyBaseObject_Type, TP_NEW);
    object made = new(type, args, kwargs);
    is_done = 1;
    return made;
}

void *__wrap_PyType_GetSlot(object type, int slot) {
    void *function = __real_PyType_GetSlot(type, slot);
    return type == PyBaseObject_Type && slot == TP_NEW && function ? (void *)new_object : function;
}
