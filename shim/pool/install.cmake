# What a packager finds of the connection manager; the package around it: cmake/WeirInstall.cmake.
set_target_properties(weir PROPERTIES VERSION 1.0.0 SOVERSION 1)
target_include_directories(weir INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set(weir_headers error.h manager.h pool.h statement.h transaction.h)
list(TRANSFORM weir_headers PREPEND ${CMAKE_SOURCE_DIR}/include/weir/)
install(FILES ${weir_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weir)
install(TARGETS weir EXPORT weir-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS weir_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
