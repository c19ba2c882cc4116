using Hl7.Fhir.Model;
using Hl7.Fhir.Support;
using Hl7.Fhir.Utility;
using Hl7.Fhir.Validation;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Profiles;

/// <summary>Turns what the Firely SDK found into sentences of our own: its messages quote values, ours never do.</summary>
static class FirelyIssues
{
    /// <summary>The answer where the SDK's reader fails on a structure that no resource has, instead of naming it.</summary>
    public static Fault NoResource { get; } = new(FaultKind.Unprocessable, new FaultIssue("The body has a structure that no FHIR resource has.", null, "structure"));

    /// <summary>Whether an exception of the SDK's readers, JSON or XML, is the body's fault (<see cref="NoResource"/>).</summary>
    public static bool IsOfTheBody(Exception e) => e is ArgumentException or InvalidOperationException or IndexOutOfRangeException or InvalidCastException
        or NullReferenceException or System.Text.Json.JsonException or FormatException or OverflowException or NotSupportedException;

    /// <summary>Describes what was found, each once and at most <see cref="ResourceParser.MaxIssues"/>.</summary>
    /// <param name="rootType">Type of the resource as it was written, perhaps no name at all; null: none.</param>
    public static List<FaultIssue> Describe(IEnumerable<CodedException> exceptions, string? rootType)
    {
        if (!ElementExpression.IsName(rootType))
            rootType = null;
        var issues = new List<FaultIssue>();
        foreach (var exception in exceptions)
        {
            if (issues.Count == ResourceParser.MaxIssues)
                break;
            var issue = Describe(exception, rootType);
            if (!issues.Contains(issue))
                issues.Add(issue);
        }
        return issues;
    }

    /// <summary>Describes one finding.</summary>
    /// <param name="rootType">Type of the resource, for findings whose path begins with <c>$this</c>.</param>
    public static FaultIssue Describe(CodedException exception, string? rootType)
    {
        var found = exception as ExtendedCodedException;
        var path = ElementExpression.Clean(found?.InstancePath, rootType);
        var (sentence, code, of) = Sentence(exception.ErrorCode);
        if (of == At.Collection)
            path = ElementExpression.WithoutIndex(path);
        else if (of == At.NamedMember && NameIn(found?.BaseErrorMessage) is { } name)
            path = path is null ? null : $"{path}.{name}";
        var where = found is { LineNumber: { } line, Position: { } position } ? $" (line {line}, position {position})" : "";
        return new(sentence + where, path, code);
    }

    /// <summary>Describes one finding of the validator.</summary>
    /// <param name="place">Expression of the element, already clean.</param>
    public static FaultIssue Describe(OperationOutcome.IssueComponent issue, string? place)
    {
        var number = issue.Details?.Coding.Select(c => int.TryParse(c.Code, out var n) ? n : 0).FirstOrDefault() ?? 0;
        var isError = issue.Severity is OperationOutcome.IssueSeverity.Error or OperationOutcome.IssueSeverity.Fatal;
        var (sentence, code) = Sentences.FirstOrDefault(s => s.Issue.Code == number) is { Sentence: { } known } found ? (known, found.Code)
            : ($"The content does not conform to what is required of it (finding {number}).", "invalid");
        // What is missing has no place of its own: the validator names it in its message, as the SDK does.
        if (number == Issue.CONTENT_INCORRECT_OCCURRENCE.Code && place is not null
            && issue.Details?.Text is { } text && text.StartsWith("Missing required member", StringComparison.Ordinal) && NameIn(text) is { } missing)
            place = $"{place}.{missing}";
        return new(sentence, place, code)
        {
            Severity = isError ? FaultSeverity.Error : issue.Severity == OperationOutcome.IssueSeverity.Warning ? FaultSeverity.Warning : FaultSeverity.Information,
        };
    }

    private static readonly (Issue Issue, string Sentence, string Code)[] Sentences =
    [
        (Issue.CONTENT_INCORRECT_OCCURRENCE, "The element occurs too few or too many times for the profile.", "structure"),
        (Issue.CONTENT_ELEMENT_HAS_UNKNOWN_CHILDREN, "The element does not exist at this place.", "structure"),
        (Issue.CONTENT_ELEMENT_HAS_INCORRECT_TYPE, "The element has a type that the profile does not allow.", "value"),
        (Issue.CONTENT_ELEMENT_MUST_MATCH_TYPE, "The element has a type that the profile does not allow.", "value"),
        (Issue.CONTENT_ELEMENT_CHOICE_INVALID_INSTANCE_TYPE, "The element has a type that the profile does not allow.", "value"),
        (Issue.CONTENT_ELEMENT_MUST_HAVE_VALUE_OR_CHILDREN, "The element has neither a value nor children.", "structure"),
        (Issue.CONTENT_ELEMENT_INVALID_PRIMITIVE_VALUE, "The value has not the format of its data type.", "value"),
        (Issue.CONTENT_ELEMENT_VALUE_TOO_LONG, "The value is longer than the profile allows.", "too-long"),
        (Issue.CONTENT_DOES_NOT_MATCH_FIXED_VALUE, "The value is not the one that the profile fixes for the element.", "value"),
        (Issue.CONTENT_DOES_NOT_MATCH_PATTERN_VALUE, "The value does not match the pattern that the profile sets for the element.", "value"),
        (Issue.CONTENT_ELEMENT_FAILS_ERROR_CONSTRAINT, "A constraint on the element does not hold.", "invariant"),
        (Issue.CONTENT_ELEMENT_FAILS_WARNING_CONSTRAINT, "A recommendation about the element is not followed.", "invariant"),
        (Issue.CONTENT_REFERENCE_OF_INVALID_KIND, "The reference is of a kind that the profile does not allow.", "value"),
        (Issue.CONTENT_CONTAINED_REFERENCE_NOT_RESOLVABLE, "The reference names no contained resource.", "not-found"),
        (Issue.CONTENT_UNPARSEABLE_REFERENCE, "The reference cannot be read.", "value"),
        (Issue.CONTENT_ELEMENT_FAILS_SLICING_RULE, "The element fits none of the slices that the profile allows.", "structure"),
        (Issue.CONTENT_ELEMENT_SLICING_OUT_OF_ORDER, "The element is out of the order that the profile sets.", "structure"),
        (Issue.CONTENT_INVALID_FOR_REQUIRED_BINDING, "The code is not in the value set that is required for the element.", "code-invalid"),
        (Issue.CONTENT_INVALID_FOR_NON_REQUIRED_BINDING, "The code is not in the value set that is recommended for the element.", "code-invalid"),
        (Issue.TERMINOLOGY_CODE_NOT_IN_VALUESET, "The code is not in the value set of the element.", "code-invalid"),
        (Issue.TERMINOLOGY_OUTPUT_ERROR, "The code is not in the value set that is required for the element.", "code-invalid"),
        (Issue.TERMINOLOGY_OUTPUT_WARNING, "The code could not be compared with the value set of the element.", "code-invalid"),
        (Issue.TERMINOLOGY_INCOMPLETE_CODE_ERROR, "The element needs a code from its value set.", "code-invalid"),
        (Issue.CONTENT_MISMATCHING_PROFILES, "The claimed profile is for another resource type.", "value"),
        (Issue.UNAVAILABLE_REFERENCED_PROFILE, "A definition that the content refers to, a profile or an extension that may not be ignored, is not known here.", "extension"),
        (Issue.UNAVAILABLE_REFERENCED_PROFILE_WARNING, "An extension is not known here and was not checked.", "extension"),
        (Issue.PROCESSING_REPEATED_ERROR, "The same finding as before.", "invalid"),
    ];

    private enum At { Element, Collection, NamedMember }

    private static (string Sentence, string Code, At Of) Sentence(string errorCode) => errorCode switch
    {
        CodedValidationException.CHOICE_TYPE_NOT_ALLOWED_CODE => ("The element has a type that is not allowed there.", "value", At.Element),
        CodedValidationException.INCORRECT_CARDINALITY_MIN_CODE => ("The element occurs too few times.", "required", At.Element),
        CodedValidationException.INCORRECT_CARDINALITY_MAX_CODE => ("The element occurs too many times.", "structure", At.Element),
        CodedValidationException.REPEATING_ELEMENT_CANNOT_CONTAIN_NULL_CODE => ("A repeating element contains null.", "structure", At.Element),
        CodedValidationException.MANDATORY_ELEMENT_MUST_BE_PRESENT_CODE => ("A mandatory element is missing.", "required", At.Element),
        CodedValidationException.NARRATIVE_XML_IS_MALFORMED_CODE => ("The narrative is not well-formed XHTML.", "value", At.Element),
        CodedValidationException.NARRATIVE_XML_IS_INVALID_CODE =>
            ("The narrative has elements or attributes that FHIR does not allow, no content, or another root than an XHTML div.", "value", At.Element),
        CodedValidationException.INVALID_CODED_VALUE_CODE => ("The code is not in the value set that is required for the element.", "code-invalid", At.Element),
        CodedValidationException.CONTAINED_RESOURCES_CANNOT_BE_NESTED_CODE => ("A contained resource contains another one.", "structure", At.Element),
        CodedValidationException.INVALID_STRING_LENGTH_CODE => ("The text has a length that is not allowed.", "value", At.Element),
        CodedValidationException.INVALID_BASE64_VALUE_CODE => ("The value is not base64.", "value", At.Element),
        CodedValidationException.INCORRECT_LITERAL_VALUE_TYPE_CODE =>
            ("The value is of the wrong type, for example text where a number belongs.", "value", At.Element),
        CodedValidationException.LITERAL_INVALID_CODE => ("The value has not the format of its data type.", "value", At.Element),
        CodedValidationException.POSITIVE_INT_MUST_BE_POSITIVE_CODE => ("The number must be greater than 0.", "value", At.Element),
        CodedValidationException.UNSIGNED_INT_MUST_NOT_BE_NEGATIVE_CODE => ("The number must not be negative.", "value", At.Element),
        CodedValidationException.PROPERTY_TYPE_MISMATCH_CODE =>
            ("The element is an array where a single value belongs, or the other way round.", "structure", At.Collection),
        CodedValidationException.UNKNOWN_ELEMENT_CODE => ("The element does not exist in FHIR R4 at this place.", "structure", At.Element),
        CodedValidationException.ELEMENT_CANNOT_BE_EMPTY_CODE => ("The element is empty.", "value", At.Element),
        CodedValidationException.UNKNOWN_RESOURCE_TYPE_CODE => ("The resource type does not exist in FHIR R4.", "not-supported", At.Element),
        CodedValidationException.WRONG_CASED_ELEMENT_CODE => ("The element name is written with the wrong case.", "structure", At.Element),
        CodedValidationException.WRONG_CASED_RESOURCE_TYPE_CODE => ("The resource type is written with the wrong case.", "structure", At.Element),
        "JSON102" => ("The resource type must be a string.", "structure", At.Element),
        "JSON103" => ("The property 'resourceType' is missing.", "required", At.Element),
        "JSON109" => ("The element is null; leave it out instead.", "structure", At.Element),
        "JSON120" => ("The object has no properties.", "structure", At.Element),
        "JSON121" => ("The array is empty; leave it out instead.", "structure", At.Collection),
        "JSON129" => ("The element stands more than once in the same object.", "structure", At.NamedMember),
        "XML101" or "XML112" => ("The element is not in the namespace http://hl7.org/fhir.", "structure", At.Element),
        "XML109" => ("The element comes too late: elements stand in the order of the specification.", "structure", At.Element),
        "XML110" => ("There is more than one resource where one belongs.", "structure", At.Element),
        "XML113" => ("There is text where only elements belong; values are in attributes.", "structure", At.Element),
        "XML116" => ("The items of a repeating element do not follow each other.", "structure", At.Element),
        "XML126" => ("The value begins or ends with white space.", "value", At.Element),
        _ => ($"The element is not valid FHIR R4 ({errorCode}).", "structure", At.Element),
    };

    // The SDK names a repeated member only in its message, in single quotes.
    private static string? NameIn(string? message)
    {
        if (message is null || message.IndexOf('\'') is not (>= 0 and var start) || message.IndexOf('\'', start + 1) is not (> 0 and var end))
            return null;
        var name = message[(start + 1)..end];
        return ElementExpression.IsName(name) ? name : null;
    }
}
