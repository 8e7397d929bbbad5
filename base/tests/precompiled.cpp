// A target needs a source to have precompiled headers; umbra-testing is here for them alone.
