# SPDX-License-Identifier: Apache-2.0
"""What a function can know and say about snapshots of itself.

    import unifaas

    @unifaas.after_restore
    def renew(generation):
        ...             # what must not be the same in two instances: new seed, new ids, new connections

    ...                 # initialisation
    unifaas.ready()     # with UNIFAAS_SNAPSHOT=manual: the snapshot may be taken now

Outside of UniFaaS all of this does nothing. Python's own generators (random, secrets, uuid, ssl, tempfile) need no help on
the base python3.11; elsewhere, importing this module reseeds random after a restore.

Hooks run in the main thread as soon as it runs Python again, before it sees the next request. A program whose other threads take
requests calls unifaas.check() in them first: then it is certain there, too.
"""

import fcntl as _fcntl
import mmap as _mmap
import os as _os
import signal as _signal
import struct as _struct
import sys as _sys
import threading as _threading

__all__ = ["ready", "generation", "after_restore", "check", "SIGNAL"]

SIGNAL = _signal.SIGRTMAX - 2
"""The signal by which the main thread hears of a restore. It is used from the first after_restore on, and only inside of UniFaaS."""

_DEVICE = "/dev/snapshot"
_GENERATION = 0x5501
_SIGNAL = 0x5502
_WIPEONFORK = 18

_lock = _threading.RLock()
_hooks = []
_running = False
_page = None  # wiped in every copy: zero says that hooks are due
_pid = 0
_fd = None


def _device():
    """The open device, or None outside of UniFaaS."""
    global _fd
    if _fd is None:
        try:
            _fd = _os.open(_DEVICE, _os.O_RDWR | _os.O_NONBLOCK | _os.O_CLOEXEC)
            _fcntl.ioctl(_fd, _GENERATION, bytes(8))
        except OSError:
            if _fd is not None:
                _os.close(_fd)
            _fd = -1  # something else by that name, or nothing
    return None if _fd < 0 else _fd


def ready():
    """Says that the program is initialised. With UNIFAAS_SNAPSHOT=manual the snapshot is taken when it next waits for a request."""
    if _device() is not None:
        _os.write(_fd, b"ready\n")


def generation():
    """A number that tells this restore from all others, of all instances; 0 in one that booted. Runs hooks that are due."""
    check()
    if _device() is None:
        return 0
    return _struct.unpack("Q", _fcntl.ioctl(_fd, _GENERATION, bytes(8)))[0]


def after_restore(hook):
    """Has hook(generation) called after each restore. Can be used as a decorator.

    It must be called from the main thread the first time, or the program has to call check() by itself.
    """
    global _page, _pid
    with _lock:
        if _device() is not None and _page is None:
            page = _mmap.mmap(-1, _mmap.PAGESIZE, flags=_mmap.MAP_PRIVATE | _mmap.MAP_ANONYMOUS)
            page.madvise(_WIPEONFORK)
            page[0] = 1
            _page, _pid = page, _os.getpid()
            if _threading.current_thread() is _threading.main_thread():
                _signal.signal(SIGNAL, lambda signo, frame: check())
                _signal.siginterrupt(SIGNAL, False)
                _fcntl.ioctl(_fd, _SIGNAL, SIGNAL)
            # A child of fork is no restored instance, and has no signal of its own.
            _os.register_at_fork(after_in_child=_forked)
        _hooks.append(hook)
    return hook


def _forked():
    global _lock, _running
    _lock = _threading.RLock()
    _running = False
    _page[0] = 1


def check():
    """Runs the hooks if the instance was restored and they did not run yet; returns when they have run. It costs next to nothing otherwise."""
    global _running
    if _page is None or _page[0]:
        return
    with _lock:
        if _page[0] or _running:  # another thread was first, or a hook asks
            return
        _running = True
        try:
            now = _struct.unpack("Q", _fcntl.ioctl(_fd, _GENERATION, bytes(8)))[0]
            for hook in list(_hooks):
                try:
                    hook(now)
                except Exception:
                    _sys.excepthook(*_sys.exc_info())
        finally:
            _running = False
            _page[0] = 1


def _reseed(generation):
    import random

    random.seed()


if "_unifaas_random" not in _sys.modules and _device() is not None:
    after_restore(_reseed)
