if(NOT WEIR_SANITIZE) # what sanitizers add is not shipped
    add_test(NAME preload_object COMMAND /usr/bin/python3 -B
        ${CMAKE_CURRENT_SOURCE_DIR}/preload_object.py
        $<TARGET_FILE:weir_preload> $<TARGET_FILE:weir_probe>)
    set_tests_properties(preload_object PROPERTIES LABELS contract TIMEOUT 60)
endif()
