/* The page for people: one file with no outside resources, that reads the API. */
#pragma once

#include "base/view.h"

struct view page_html(void);
