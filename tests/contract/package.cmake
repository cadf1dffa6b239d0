if(NOT WEIR_SANITIZE) # a consumer would have to be sanitized too
    weir_python_test(installed_package SOURCE ${CMAKE_CURRENT_LIST_DIR}/installed_package.py
        LABELS contract)
endif()
