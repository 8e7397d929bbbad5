// protoc-gen-umbra: writes, for each service of a .proto file, the interface that a server implements and the client
// that calls it (<name>.rpc.hpp, <name>.rpc.cpp). rpc/README.md shows the shape.
#include <fmt/format.h>
#include <google/protobuf/compiler/code_generator.h>
#include <google/protobuf/compiler/plugin.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/printer.h>
#include <google/protobuf/io/zero_copy_stream.h>

#include <array>
#include <cctype>

#include "umbra/v1/options.pb.h"

namespace {

namespace pb = google::protobuf;
using Variables = std::map<std::string, std::string>;

std::string cpp_name(std::string name) {
  for (std::size_t at = 0; (at = name.find('.', at)) != std::string::npos; at += 2) name.replace(at, 1, "::");
  return name;
}

/// "ReleaseShadowInstances" → "release_shadow_instances"; a C++ keyword gets a trailing underscore, as protoc's fields
/// do.
std::string snake_case(std::string_view camel) {
  std::string snake;
  for (std::size_t i = 0; i < camel.size(); ++i) {
    const auto upper = [&](std::size_t at) {
      return at < camel.size() && std::isupper(static_cast<unsigned char>(camel[at]));
    };
    const bool acronym_goes_on = i > 0 && upper(i - 1) && (i + 1 == camel.size() || upper(i + 1));
    if (upper(i) && i > 0 && !acronym_goes_on) snake += '_';
    snake += static_cast<char>(std::tolower(static_cast<unsigned char>(camel[i])));
  }
  static constexpr std::array kKeywords{
      "and",     "auto",     "bool",      "break",  "case",     "catch",     "class",  "const",  "continue",
      "default", "delete",   "do",        "else",   "enum",     "explicit",  "export", "extern", "for",
      "friend",  "goto",     "if",        "inline", "mutable",  "namespace", "new",    "not",    "operator",
      "or",      "private",  "protected", "public", "register", "requires",  "return", "static", "struct",
      "switch",  "template", "this",      "throw",  "try",      "typedef",   "union",  "using",  "virtual",
      "void",    "volatile", "while",     "xor"};
  if (std::find(kKeywords.begin(), kKeywords.end(), snake) != kKeywords.end()) snake += '_';
  return snake;
}

std::string without_extension(const std::string& path) {
  return path.substr(0, path.size() - std::string_view(".proto").size());
}

/// The comments above a declaration, as Doxygen comments.
template <class Descriptor>
std::string comments(const Descriptor& of, std::string_view indent) {
  pb::SourceLocation location;
  std::string text;
  if (!of.GetSourceLocation(&location)) return text;
  std::string_view rest = location.leading_comments;
  while (!rest.empty()) {
    const auto end = std::min(rest.find('\n'), rest.size());
    text += fmt::format("{}///{}\n", indent, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return text;
}

bool check(const pb::MethodDescriptor& method, std::string* error) {
  if (method.client_streaming()) {
    *error = method.full_name() + ": streams of requests are not supported; only replies can be a stream";
    return false;
  }
  const auto& allowed = method.options().GetRepeatedExtension(umbra::v1::allow);
  const bool names_roles =
      std::all_of(allowed.begin(), allowed.end(), [](int role) { return role != umbra::v1::ROLE_UNSPECIFIED; });
  if (allowed.empty() || !names_roles) {
    *error = method.full_name() + ": says nothing about who may call it; add `option (umbra.v1.allow) = ROLE_…;`";
    return false;
  }
  return true;
}

Variables variables(const pb::MethodDescriptor& method) {
  std::string roles;
  for (const int role : method.options().GetRepeatedExtension(umbra::v1::allow)) {
    roles += (roles.empty() ? "" : ", ") + ("::umbra::v1::" + umbra::v1::Role_Name(static_cast<umbra::v1::Role>(role)));
  }
  return {{"Service", method.service()->name()},
          {"service", method.service()->full_name()},
          {"Method", method.name()},
          {"method", snake_case(method.name())},
          {"Request", "::" + cpp_name(method.input_type()->full_name())},
          {"Reply", "::" + cpp_name(method.output_type()->full_name())},
          {"kind", method.server_streaming() ? "streaming" : "unary"},
          {"roles", roles},
          {"comments", comments(method, "  ")}};
}

void print_service(pb::io::Printer& out, const pb::ServiceDescriptor& service) {
  const Variables names{{"Service", service.name()}, {"comments", comments(service, "")}};
  out.Print(names,
            "$comments$"
            "class $Service$Service : public ::umbra::rpc::Service {\n"
            " public:\n");
  for (int i = 0; i < service.method_count(); ++i) {
    const auto& method = *service.method(i);
    out.Print(variables(method),
              method.server_streaming()
                  ? "$comments$  virtual ::umbra::Task<void> $method$(::umbra::rpc::Caller caller, $Request$ request,\n"
                    "      ::umbra::rpc::Sink<$Reply$> sink) = 0;\n"
                  : "$comments$  virtual ::umbra::Task<$Reply$> $method$(::umbra::rpc::Caller caller, $Request$ "
                    "request) = 0;\n");
  }
  out.Print(
      names,
      "\n"
      "  std::span<const ::umbra::rpc::Method> methods() const final;\n"
      "};\n\n"
      "/// Calls $Service$ at the other end of a session; cheap to copy.\n"
      "class $Service$Client {\n"
      " public:\n"
      "  explicit $Service$Client(std::shared_ptr<::umbra::rpc::Session> session) : session_(std::move(session)) {}\n");
  for (int i = 0; i < service.method_count(); ++i) {
    const auto& method = *service.method(i);
    auto names_here = variables(method);
    names_here["Result"] =
        method.server_streaming() ? "::umbra::rpc::Stream<" + names_here["Reply"] + ">" : names_here["Reply"];
    out.Print(names_here, "  ::umbra::Task<$Result$> $method$($Request$ request, ::umbra::Deadline deadline);\n");
  }
  out.Print(
      "\n"
      " private:\n"
      "  std::shared_ptr<::umbra::rpc::Session> session_;\n"
      "};\n\n");
}

void print_definitions(pb::io::Printer& out, const pb::ServiceDescriptor& service) {
  const Variables names{{"Service", service.name()}};
  for (int i = 0; i < service.method_count(); ++i) {
    out.Print(variables(*service.method(i)),
              "static constexpr ::umbra::v1::Role k$Service$$Method$Allow[] = {$roles$};\n");
  }
  out.Print(names, "\nstd::span<const ::umbra::rpc::Method> $Service$Service::methods() const {\n");
  if (service.method_count() == 0) {
    out.Print("  return {};\n}\n\n");
    return;
  }
  out.Print("  static const ::umbra::rpc::Method kMethods[] = {\n");
  for (int i = 0; i < service.method_count(); ++i) {
    out.Print(variables(*service.method(i)),
              "      {\"$service$/$Method$\", k$Service$$Method$Allow,\n"
              "       &::umbra::rpc::serve_$kind$<$Service$Service, $Request$, $Reply$,\n"
              "                                   &$Service$Service::$method$>},\n");
  }
  out.Print("  };\n  return kMethods;\n}\n\n");
  for (int i = 0; i < service.method_count(); ++i) {
    const auto& method = *service.method(i);
    auto names_here = variables(method);
    names_here["Result"] =
        method.server_streaming() ? "::umbra::rpc::Stream<" + names_here["Reply"] + ">" : names_here["Reply"];
    out.Print(names_here,
              "::umbra::Task<$Result$> $Service$Client::$method$($Request$ request, ::umbra::Deadline deadline) {\n"
              "  return ::umbra::rpc::call_$kind$<$Reply$>(session_, \"$service$/$Method$\", "
              "request.SerializeAsString(), deadline);\n"
              "}\n\n");
  }
}

class StubGenerator final : public pb::compiler::CodeGenerator {
 public:
  std::uint64_t GetSupportedFeatures() const override { return FEATURE_PROTO3_OPTIONAL; }

  bool Generate(const pb::FileDescriptor* file, const std::string&, pb::compiler::GeneratorContext* context,
                std::string* error) const override {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        if (!check(*file->service(s)->method(m), error)) return false;
      }
    }
    const auto base = without_extension(file->name());
    const Variables names{{"file", file->name()}, {"base", base}, {"namespace", cpp_name(file->package())}};
    {
      const std::unique_ptr<pb::io::ZeroCopyOutputStream> stream(context->Open(base + ".rpc.hpp"));
      pb::io::Printer out(stream.get(), '$');
      out.Print(names,
                "// Written by protoc-gen-umbra from $file$.\n"
                "#pragma once\n\n"
                "#include \"$base$.pb.h\"\n"
                "#include \"rpc/stub.hpp\"\n\n"
                "namespace $namespace$ {\n\n");
      for (int s = 0; s < file->service_count(); ++s) print_service(out, *file->service(s));
      out.Print(names, "}  // namespace $namespace$\n");
    }
    const std::unique_ptr<pb::io::ZeroCopyOutputStream> stream(context->Open(base + ".rpc.cpp"));
    pb::io::Printer out(stream.get(), '$');
    out.Print(names,
              "// Written by protoc-gen-umbra from $file$.\n"
              "#include \"$base$.rpc.hpp\"\n\n"
              "namespace $namespace$ {\n\n");
    for (int s = 0; s < file->service_count(); ++s) print_definitions(out, *file->service(s));
    out.Print(names, "}  // namespace $namespace$\n");
    return true;
  }
};

}  // namespace

int main(int argc, char** argv) {
  const StubGenerator generator;
  return pb::compiler::PluginMain(argc, argv, &generator);
}
