// What nearly every user of the wire sees, compiled once. Not to be included by hand.
#pragma once
#include <umbra/v1/agent.rpc.hpp>
#include <umbra/v1/controller.rpc.hpp>
#include <umbra/v1/fleet.rpc.hpp>

#include <deque>
#include <filesystem>
#include <fstream>

#include <boost/json/value.hpp>

#include "base/precompiled.hpp"
