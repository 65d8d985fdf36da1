# Highway: the system's where there is one (Debian's libhwy-dev, conda-forge, Homebrew), else a
# pinned release, built in.
if(NOT INVDECAY_BUNDLE_HIGHWAY)
  find_package(hwy 1.0.3 CONFIG QUIET)
endif()
if(TARGET hwy::hwy)
  set(INVDECAY_HIGHWAY_SOURCE "${hwy_VERSION} (system)")
else()
  include(FetchContent)
  set(HWY_ENABLE_TESTS OFF CACHE BOOL "" FORCE)
  set(HWY_ENABLE_EXAMPLES OFF CACHE BOOL "" FORCE)
  set(HWY_ENABLE_CONTRIB OFF CACHE BOOL "" FORCE)
  set(HWY_ENABLE_INSTALL OFF CACHE BOOL "" FORCE)
  set(BUILD_SHARED_LIBS OFF)
  FetchContent_Declare(
    highway
    URL https://github.com/google/highway/archive/refs/tags/1.2.0.tar.gz
    URL_HASH SHA256=7e0be78b8318e8bdbf6fa545d2ecb4c90f947df03f7aadc42c1967f019e63343)
  FetchContent_MakeAvailable(highway)
  if(NOT TARGET hwy::hwy)
    add_library(hwy::hwy ALIAS hwy)
  endif()
  if(SKBUILD) # a wheel with Highway inside carries its licence
    install(FILES ${highway_SOURCE_DIR}/LICENSE-BSD3
            DESTINATION ${SKBUILD_METADATA_DIR}/licenses/highway)
  endif()
  set(INVDECAY_HIGHWAY_SOURCE "1.2.0 (built in)")
endif()
message(STATUS "Highway: ${INVDECAY_HIGHWAY_SOURCE}")
