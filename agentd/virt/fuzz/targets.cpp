#include "agentd/virt/fuzz/targets.hpp"

#include <cstdio>
#include <cstdlib>

#include "agentd/virt/domain_xml.hpp"

namespace umbra::virt {
namespace {

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "promise broken: %s\n", what);
  std::abort();
}

}  // namespace

void fuzz_domain(std::string_view text) {
  const auto domain = parse_domain(text);
  const auto shadow = shadow_xml(text), clean = clean_xml(text);
  must(shadow.has_value() == clean.has_value(), "what can wait for a migration can be cleaned of it");
  if (!domain) return must(!domain.error().message.empty(), "an error says what it is");
  must(!domain->name.empty() && domain->memory.count > 0, "a domain has a name and memory");
  must(shadow.has_value(), "what is a domain can have a shadow's XML");
  const auto waits = parse_domain(*shadow), cleaned = parse_domain(*clean);
  must(waits && waits->incoming && waits->name == domain->name, "a shadow waits, and is the same domain");
  must(cleaned && !cleaned->incoming && cleaned->uuid == domain->uuid, "what is cleaned does not wait");

  const ForeignRules rules;
  const ForeignClaim claim{domain->uuid, domain->name, domain->tap, domain->memory};
  if (!check_foreign(text, claim, rules)) return;
  must(domain->refusal.empty(), "what is taken of another host can have a shadow");
  must(check_foreign(*shadow, claim, rules).has_value(), "what libvirt is given is what was looked at");
  for (const auto* forbidden : {"<script", "<bootloader", ":env ", ":override", "/etc/"})
    must(domain->refusal.empty() || shadow->find(forbidden) == shadow->npos, forbidden);
}

}  // namespace umbra::virt
