/// Who may open a domain's disk images, and that a move to another host leaves it so.
///
/// libvirt gives an image to the user of the QEMU that opens it, and gives it back to its owner when that QEMU ends
/// (qemu.conf: dynamic_ownership). On storage that hosts share the image has one owner for all of them, and only
/// libvirt's own migration knows that another QEMU still needs it. Umbra's shadows therefore leave labels alone
/// (shadow_xml()), and what libvirt takes from an image as a domain that has moved away ends is put back at once.
/// Blocking calls, any thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace pugi {
class xml_node;
}

namespace umbra::virt {

/// A disk whose content is a writable file that no other domain uses: libvirt gives it to QEMU, and takes it back.
bool is_image_of_its_own(const pugi::xml_node& disk);

/// Of a running domain's live XML.
struct DomainImages {
  struct User {
    uid_t uid;
    gid_t gid;
  };
  struct Image {
    std::string path;
    bool left_alone = false;  ///< libvirt does not touch its owner (<seclabel model='dac' relabel='no'/>)
  };

  /// Whom libvirt gives images to: <seclabel model='dac'> <imagelabel>+UID:+GID. Nothing when it gives them to nobody.
  std::optional<User> user;
  /// Files behind its writable disks, the topmost of each chain: libvirt takes no other from a QEMU that ends. Disks
  /// that are <shareable/> it leaves as they are.
  std::vector<Image> images;
};

/// @error kInvalid broken XML
Result<DomainImages> images_of(std::string_view live_xml);

/// Owner and SELinux context of images as they are now.
class LabelNote {
 public:
  static LabelNote take(const DomainImages& domain);
  LabelNote(LabelNote&&) noexcept = default;
  LabelNote& operator=(LabelNote&&) noexcept = default;
  ~LabelNote() = default;

  /// Gives each image back what was noted, where that has changed since. What libvirt itself remembers of an image
  /// (its trusted.libvirt.security attributes) is not put back: it counts the QEMUs that will restore the image, and
  /// there is none any more.
  /// @return what could not be done
  std::vector<std::string> put_back() const;
  std::vector<std::string> paths() const;

 private:
  /// Closes what O_PATH opened: the very file, wherever its name leads by then.
  struct File {
    explicit File(int descriptor) : fd(descriptor) {}
    File(File&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
    File& operator=(File&& other) noexcept {
      std::swap(fd, other.fd);
      return *this;
    }
    ~File();
    int fd;
  };
  struct Entry {
    std::string path;
    File file;
    uid_t uid;
    gid_t gid;
    std::string selinux;  ///< empty: none
  };

  LabelNote() = default;
  std::vector<Entry> entries_;
};

/// Puts a note back within a fraction of a millisecond of whatever changes it, as long as this lives: between libvirt's
/// taking an image and the return of virDomainDestroy lie tens of milliseconds, in which a server that checks each
/// write (NFS) would refuse the guest's.
class LabelGuard {
 public:
  explicit LabelGuard(const LabelNote& note);

 private:
  std::jthread thread_;
};

/// Looks whether a running domain's QEMU may still open its images. One that libvirt leaves alone is given back to it;
/// another's owner is libvirt's business, or somebody's intent.
/// @return what was found, and what was done about it; empty when all is well
std::vector<std::string> tend(const DomainImages& domain);

}  // namespace umbra::virt
