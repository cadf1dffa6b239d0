# The package: find_package(weir) with weir::weir and weir::probe, and pkg-config files of the same.
include(CMakePackageConfigHelpers)

set(weir_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/weir-config.cmake.in
    ${CMAKE_BINARY_DIR}/package/weir-config.cmake INSTALL_DESTINATION ${weir_package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/weir-config-version.cmake
    COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/weir-config.cmake
    ${CMAKE_BINARY_DIR}/package/weir-config-version.cmake DESTINATION ${weir_package_dir})
install(EXPORT weir-targets NAMESPACE weir:: DESTINATION ${weir_package_dir})

# The prefix is the one given at installation, so each file finds it from its own place.
file(RELATIVE_PATH WEIR_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
foreach(name weir weir-probe)
    configure_file(${CMAKE_SOURCE_DIR}/cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/package/${name}.pc
        @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/package/${name}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
