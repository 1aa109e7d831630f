#error "This header lies beside greeting.h but is not declared, so it does not exist."
