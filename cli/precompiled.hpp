// What nearly every file of cli/ sees, compiled once. Not to be included by hand.
#pragma once
#include <CLI/CLI.hpp>

#include "rpc/precompiled.hpp"
