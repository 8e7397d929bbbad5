#include "agentd/virt/tests/hypervisor_world.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "agentd/virt/fakes/fake_hypervisor.hpp"
#include "agentd/virt/libvirt_hypervisor.hpp"
#include "agentd/virt/tests/private_libvirtd.hpp"
#include "qmp/codec.hpp"

namespace umbra::virt {
namespace {

std::string_view word(LifecycleChange change) {
  static constexpr std::array<std::string_view, 11> kWords{"defined", "undefined", "started",  "suspended",
                                                           "resumed", "stopped",   "shutdown", "crashed",
                                                           "reset",   "changed",   "other"};
  return kWords.at(static_cast<std::size_t>(change));
}

class FakeWorld final : public World {
 public:
  asio::io_context& io() override { return io_; }
  Task<void> open() override {
    hypervisor_.listen(listener());
    UMBRA_CO_CHECK(co_await until([this] { return !connection.empty() && connection.back(); }));
    connection.clear();
    co_return Result<void>{};
  }
  Hypervisor& hypervisor() override { return hypervisor_; }
  Task<void> pass(Milliseconds time) override {
    wire_->advance(time);
    co_await asio::post(io_, asio::use_awaitable);
    co_return Result<void>{};
  }
  void lose_libvirtd() override { hypervisor_.set_connected(false); }
  void bring_libvirtd_back() override { hypervisor_.set_connected(true); }
  std::string image() const override { return "/shared/disk"; }
  std::string owner_of_disk() override { return storage_->owner[image()]; }
  std::string root() const override { return "root"; }
  void take_disk() override { storage_->owner[image()] = root(); }

 private:
  asio::io_context io_;
  std::shared_ptr<FakeStorage> storage_ = std::make_shared<FakeStorage>();
  std::shared_ptr<qmp::FakeWire> wire_ = std::make_shared<qmp::FakeWire>();
  FakeHypervisor hypervisor_{io_.get_executor(), wire_, {.address = {}, .storage = storage_, .qemu = {}}};
};

class RealWorld final : public World {
 public:
  ~RealWorld() override {
    hypervisor_.reset();
    io().restart();
    io().run_for(50ms);  // libvirt's last handles go
  }
  asio::io_context& io() override {
    static auto* const context = new asio::io_context;  // libvirt keeps to one for the life of the process
    return *context;
  }
  Task<void> open() override {
    LibvirtHypervisor::Options options;
    options.uri = libvirtd.uri();
    UMBRA_CO_TRY(hypervisor_, LibvirtHypervisor::start(io().get_executor(), options));
    hypervisor_->listen(listener());
    UMBRA_CO_CHECK(co_await until([this] { return !connection.empty() && connection.back(); }));
    connection.clear();
    co_return Result<void>{};
  }
  Hypervisor& hypervisor() override { return *hypervisor_; }
  Task<void> pass(Milliseconds time) override {
    asio::steady_timer timer(io(), time);
    co_await timer.async_wait(asio::use_awaitable);
    co_return Result<void>{};
  }
  void lose_libvirtd() override { libvirtd.kill(); }
  void bring_libvirtd_back() override { libvirtd.start(); }
  std::string image() const override { return (storage_.path() / "disk").string(); }
  std::string owner_of_disk() override {
    struct stat now {};
    if (::stat(image().c_str(), &now) != 0) return "";
    return fmt::format("{}:{}", now.st_uid, now.st_gid);
  }
  std::string root() const override { return "0:0"; }
  void take_disk() override { EXPECT_EQ(::chown(image().c_str(), 0, 0), 0); }

  PrivateLibvirtd libvirtd;

 private:
  static TemporaryDirectory make_storage() {
    auto storage = TemporaryDirectory::make("umbra-storage-").value();
    std::filesystem::permissions(storage.path(), std::filesystem::perms(0755));  // QEMU is not root
    std::ofstream(storage.path() / "disk") << std::string(1 << 20, '\0');
    return storage;
  }

  TemporaryDirectory storage_ = make_storage();
  std::shared_ptr<LibvirtHypervisor> hypervisor_;
};

}  // namespace

std::string World::disk() const {
  return fmt::format(
      "<disk type='file'><driver name='qemu' type='raw'/><source file='{}'/><target dev='vda' "
      "bus='virtio'/></disk>",
      image());
}

std::string World::xml(const Vm& vm, const std::string& more, const std::string& devices) const {
  return fmt::format(R"(<domain type='qemu'>
  <name>{}</name>
  <uuid>{}</uuid>
  {}
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <devices>
    <emulator>{}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {}
  </devices>
</domain>)",
                     vm.name, vm.uuid, more, emulator(), devices);
}

Task<void> World::run(Vm vm, std::string more, std::string devices) {
  const auto text = xml(vm, more, devices);
  UMBRA_CO_TRY(const auto uuid, co_await hypervisor().create_paused(text, kSoon));
  EXPECT_EQ(uuid, vm.uuid);
  co_return co_await hypervisor().resume(uuid, kSoon);
}

Task<void> World::until(std::function<bool()> condition) {
  for (int tries = 0; tries < 4000 && !condition(); ++tries) UMBRA_CO_CHECK(co_await pass(5ms));
  if (condition()) co_return Result<void>{};
  co_return fail(Errc::kTimeout, "it never happened; told: {}", fmt::join(lifecycle, " "));
}

bool World::told(const std::string& change) const {
  return std::find(lifecycle.begin(), lifecycle.end(), change) != lifecycle.end();
}

Hypervisor::Listener World::listener() {
  return {[this](const LifecycleEvent& event) {
            lifecycle.push_back(fmt::format("{}:{}", word(event.change), event.detail));
          },
          [this](bool up) { connection.push_back(up); }};
}

std::unique_ptr<World> make_fake_world() {
  return std::make_unique<FakeWorld>();
}
std::unique_ptr<World> make_real_world() {
  return std::make_unique<RealWorld>();
}
PrivateLibvirtd& libvirtd_of(World& world) {
  return dynamic_cast<RealWorld&>(world).libvirtd;
}

void record(qmp::Transport& monitor, std::vector<std::string>& into) {
  monitor.on_event([&into](const qmp::Event& event) {
    if (event.name == "MIGRATION_PASS") return;
    const auto* migration = std::get_if<qmp::MigrationEvent>(&event.what);
    into.push_back(migration != nullptr ? std::string(to_string(migration->status)) : event.name);
  });
}

}  // namespace umbra::virt
