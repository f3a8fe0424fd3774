// What the Glibc module of Swift does not export: epoll, eventfd and friends.
#pragma once
#include <sys/epoll.h>
#include <sys/eventfd.h>
