#include "controller/store/invitation_store.hpp"

namespace umbra::controller {

Result<void> InvitationStore::save(const Invitation& invitation, UnixMillis now) {
  UMBRA_CHECK(database_.run("DELETE FROM invitations WHERE until < ?1", now));
  return database_.run(
      "INSERT OR REPLACE INTO invitations(name, role, zone, secret, until, key) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
      invitation.name, static_cast<int>(invitation.role), invitation.zone, invitation.secret, invitation.until,
      invitation.key);
}

Result<std::optional<Invitation>> InvitationStore::find(const std::string& secret) {
  UMBRA_TRY(auto row,
            database_.prepare("SELECT name, role, zone, secret, until, key FROM invitations WHERE secret = ?1"));
  UMBRA_TRY(const bool found, row.bind(secret).step());
  if (!found) return std::nullopt;
  return Invitation{.name = row.text(0),
                    .role = static_cast<v1::Role>(row.integer(1)),
                    .zone = row.text(2),
                    .secret = row.text(3),
                    .until = row.integer(4),
                    .key = row.text(5)};
}

}  // namespace umbra::controller
