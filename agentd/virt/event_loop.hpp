/// libvirt's event loop (virEventRegisterImpl) on Asio: one for the process, as libvirt has it.
#pragma once

#include <boost/asio/any_io_executor.hpp>

#include "base/task.hpp"

namespace umbra::virt {

/// Watches libvirt's sockets and timers on `executor`, whose strand all of libvirt's callbacks then run on. Must be
/// called before the first connection is opened; the executor's context must outlive every connection. libvirt may add
/// and change handles from any thread. @error kInternal it is installed already, on another executor
Result<void> install_event_loop(asio::any_io_executor executor);

}  // namespace umbra::virt
