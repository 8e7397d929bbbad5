// One line on the guest's console, stamped with the guest's wall clock so that the lab can join the logs of the hosts
// that a guest has lived on in the order in which the guest wrote them.
#ifndef UMBRA_LAB_GUEST_SAY_H
#define UMBRA_LAB_GUEST_SAY_H

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static inline void say(const char* format, ...) {
  char line[256];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int length = snprintf(line, sizeof line, "%lld.%03ld ", (long long)now.tv_sec, now.tv_nsec / 1000000);
  va_list arguments;
  va_start(arguments, format);
  length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 2) length = (int)sizeof line - 2;
  line[length++] = '\n';
  // One write, so that lines of different programs do not mix.
  if (write(STDOUT_FILENO, line, (size_t)length) < 0) return;
}

#endif
