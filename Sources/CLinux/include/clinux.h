// What the Glibc module of Swift does not export: epoll, eventfd, and GNU functions.
#pragma once
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/// accept4(2) with SOCK_NONBLOCK | SOCK_CLOEXEC; errno is set when the result is negative.
int cl_accept(int listener, struct sockaddr *peer, socklen_t *length);

/// The effective user id of a Unix-domain socket's peer when it connected; -1 for other sockets.
int cl_peer_user(int socket, unsigned int *user);

/// Names the calling thread as `top -H` and debuggers show it; 15 bytes at most.
void cl_name_thread(const char *name);
