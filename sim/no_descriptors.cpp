// A simulated process waits for no descriptor: its wires, disks and clocks are memory. Asio would ask the kernel all
// the same, some 20,000 times a trial, which took a third of its time.
#include <sys/epoll.h>

extern "C" int epoll_wait(int, epoll_event*, int, int) {
  return 0;
}
