# What a packager finds of the probe; the package around it: cmake/WeirInstall.cmake.
set_target_properties(weir_probe PROPERTIES EXPORT_NAME probe VERSION 1.0.0 SOVERSION 1)
target_include_directories(weir_probe INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(FILES ${CMAKE_SOURCE_DIR}/include/weir/probe.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weir)
install(TARGETS weir_probe EXPORT weir-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS weir_probe_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
