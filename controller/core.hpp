/// The parts of a running controller, for those who serve it to others.
#pragma once

#include "controller/audit.hpp"
#include "controller/certificates.hpp"
#include "controller/enrolment.hpp"
#include "controller/inventory/addresses.hpp"
#include "controller/pilot.hpp"
#include "controller/planner/evacuation.hpp"
#include "controller/planner/host_loss.hpp"
#include "controller/planner/resolver.hpp"

namespace umbra::controller {

struct Core {
  Clock& clock;
  Store& store;
  EventLog& events;
  Audit& audit;
  Certificates& certificates;
  Enrolment& enrolment;
  Inventory& inventory;
  AddressBook& addresses;
  Zones& zones;
  Demand& demand;
  Brain& brain;
  ShadowKeeper& keeper;
  Mover& mover;
  Evacuator& evacuator;
  Pilot& pilot;
  HostLoss& host_loss;
  Resolver& resolver;
};

}  // namespace umbra::controller
