#error "for another system"
