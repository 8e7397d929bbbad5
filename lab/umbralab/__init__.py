"""A fleet on one machine: hosts, edges and a controller as namespaces, with real guests under QEMU's TCG."""
