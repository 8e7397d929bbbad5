// A target needs a source to have precompiled headers; umbra-rpc-headers is here for them alone.
