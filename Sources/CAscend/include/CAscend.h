#pragma once
#include "ascend_loader.h"
