"""What flows between the rooms: graph, plan, inventory, findings and their text form, without torch."""
