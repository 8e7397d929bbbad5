// The guest's services: TCP echo on port 7 for any number of sessions at once, and a tick a second on the console.
#include "say.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

enum { kEchoPort = 7, kSessions = 64, kListener = 0, kTimer = 1, kFirstSession = 2 };

static void die(const char* what) {
  say("services: %s failed: error %d", what, errno);
  exit(1);
}

static int listen_on(uint16_t port) {
  const int on = 1;
  const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_ANY)}};
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0) die("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (const struct sockaddr*)&any, sizeof any) || listen(listener, kSessions)) die("listen");
  return listener;
}

static int each_second(void) {
  const struct itimerspec second = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
  const int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  if (timer < 0 || timerfd_settime(timer, 0, &second, NULL)) die("timer");
  return timer;
}

static void tick(int timer) {
  static uint64_t ticks;
  uint64_t expired;
  if (read(timer, &expired, sizeof expired) < 0) die("timer");
  say("tick %llu", (unsigned long long)++ticks);
}

static void welcome(int listener, struct pollfd* sessions) {
  const int on = 1, session = accept(listener, NULL, NULL);
  if (session < 0) return;
  setsockopt(session, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (int i = 0; i < kSessions; i++) {
    if (sessions[i].fd >= 0) continue;
    sessions[i] = (struct pollfd){.fd = session, .events = POLLIN};
    return;
  }
  close(session);
}

static void echo(struct pollfd* session) {
  char bytes[4096];
  const ssize_t length = read(session->fd, bytes, sizeof bytes);
  if (length > 0 && send(session->fd, bytes, (size_t)length, MSG_NOSIGNAL) == length) return;
  close(session->fd);
  session->fd = -1;
}

int main(void) {
  struct pollfd waits[kFirstSession + kSessions];
  waits[kListener] = (struct pollfd){.fd = listen_on(kEchoPort), .events = POLLIN};
  waits[kTimer] = (struct pollfd){.fd = each_second(), .events = POLLIN};
  for (int i = kFirstSession; i < kFirstSession + kSessions; i++) waits[i].fd = -1;
  for (;;) {
    if (poll(waits, kFirstSession + kSessions, -1) < 0) die("poll");
    if (waits[kTimer].revents) tick(waits[kTimer].fd);
    for (int i = kFirstSession; i < kFirstSession + kSessions; i++) {
      if (waits[i].fd >= 0 && waits[i].revents) echo(&waits[i]);
    }
    // Last, since it fills places whose `revents` belong to an earlier poll.
    if (waits[kListener].revents) welcome(waits[kListener].fd, waits + kFirstSession);
  }
}
