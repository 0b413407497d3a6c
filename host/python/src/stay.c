/* Calls into Python, from a place that no thread may be unwound through.
 *
 * Up to Python 3.13 a thread that wants the interpreter's lock while the interpreter ends (a daemon's) is ended by pthread_exit, which
 * glibc makes an unwinding of all its frames. Rust takes that for a foreign exception, and aborts the process. So the frame below,
 * which is C's and right above Rust's, is as far as it comes: what cleans this frame up never returns, and the thread stays there
 * for the moment that is left, as every such thread does from Python 3.14 on. That is well defined in C: with -fexceptions, GCC and
 * Clang run cleanups when a thread is ended.
 */

#include <stddef.h>
#if defined(__unix__)
#include <unistd.h>
#endif

extern void *PyObject_Call(void *callable, void *args, void *kwargs);

static void stay_unless(const int *is_done) {
    if (!*is_done) {
#if defined(__unix__)
        for (;;) {
            pause();
        }
#endif
    }
}

#if !defined(__GNUC__)
/* No other compiler's library unwinds a thread that ends. */
#define __attribute__(what)
#endif

void *softfuse_call(void *callable, void *args, void *kwargs) {
    __attribute__((cleanup(stay_unless))) int is_done = 0;
    void *answer = PyObject_Call(callable, args, kwargs);
    is_done = 1;
    return answer;
}
