"""nbgrader's settings: `nbgrader generate_assignment hw1` in this folder renews release/hw1."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "hw1lib"
c.ExecutePreprocessor.timeout = 120  # seconds a cell; a check ends by itself
c.IncludeHeaderFooter.header = ""
