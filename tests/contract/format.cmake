# The form of the code is clang-format's, once, where that version is installed.
find_program(CLANG_FORMAT clang-format-14)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CLANG_FORMAT)
    add_test(NAME format COMMAND ${CMAKE_SOURCE_DIR}/tools/lint --format)
    set_tests_properties(format PROPERTIES LABELS contract TIMEOUT 60)
endif()
