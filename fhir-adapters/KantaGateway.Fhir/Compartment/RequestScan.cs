using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Compartment;

/// <summary>One entry of a scanned Bundle.</summary>
/// <param name="Index">Position in <c>Bundle.entry</c>, from 0.</param>
/// <param name="Method"><c>request.method</c>, as written.</param>
/// <param name="Url"><c>request.url</c>, as written.</param>
/// <param name="ResourceType">Type of the entry's resource, null when it has none.</param>
/// <param name="Resource">Where in the body the resource's JSON object lies; empty when there is none.</param>
public sealed record ScannedEntry(int Index, string? Method, string? Url, string? ResourceType, Range Resource)
{
    public string? FullUrl { get; init; }
    public string? IfMatch { get; init; }
    public string? IfNoneExist { get; init; }
    public string? IfNoneMatch { get; init; }
    public string? IfModifiedSince { get; init; }

    /// <summary>
    /// Type that the entry is about: its resource's, else the one its URL begins with; null when it names none. What a PATCH
    /// carries is not of the type that it changes.
    /// </summary>
    public string? TargetType => (Method == "PATCH" ? null : ResourceType) ?? Url?.TrimStart('/').Split('/', '?')[0];

    /// <summary>Whether criteria choose the resource that it changes, or whether it creates one.</summary>
    public bool IsConditional => IfNoneExist is not null || (Method is "PUT" or "PATCH" or "DELETE" && Url?.Contains('?') == true);

    /// <summary>Masked: URLs and full URLs carry ids.</summary>
    public override string ToString() => $"Bundle.entry[{Index}]";
}

/// <summary>
/// What the gateway must know of a write body to decide about it: one pass of a JSON reader, no object tree and no
/// validation, which is the repository's work. Whatever the scan misses, the repository's own checks refuse.
/// </summary>
/// <remarks>
/// Patients who are contained in another resource are not counted: a contained Patient has no compartment.
/// </remarks>
public sealed class RequestScan
{
    private RequestScan() { }

    /// <summary>Set when the body is no well-formed JSON object (<see cref="FaultKind.Invalid"/>); then nothing else is.</summary>
    public Fault? Fault { get; private init; }

    public string? ResourceType { get; private init; }

    /// <summary>Logical id of the resource itself, null when it has none.</summary>
    public string? Id { get; private init; }

    /// <summary><c>meta.profile</c> of the resource itself, not of a Bundle's entries; in their order, as written.</summary>
    public IReadOnlyList<string> ClaimedProfiles { get; private init; } = [];

    /// <summary><c>Bundle.type</c>, as written.</summary>
    public string? BundleType { get; private init; }

    /// <summary>
    /// Distinct ids of every reference <c>Patient/id</c>, relative or absolute, anywhere in the body, and of entries'
    /// <c>request.url</c>, in order of appearance.
    /// </summary>
    public IReadOnlyList<string> PatientIds { get; private init; } = [];

    /// <summary>
    /// Distinct values of <c>Patient.identifier</c> with the system of personal identity codes, unchecked, as written;
    /// of the resource itself or of a Bundle's entries.
    /// </summary>
    public IReadOnlyList<string> IdentityCodes { get; private init; } = [];

    /// <summary>
    /// Distinct conditional references <c>Type?parameters</c> anywhere in the body, in order of appearance: each is a search.
    /// </summary>
    public IReadOnlyList<string> ConditionalReferences { get; private init; } = [];

    public IReadOnlyList<ScannedEntry> Entries { get; private init; } = [];

    /// <summary>
    /// What a Bundle of requests has and must not have, by the constraints bdl-1, -2, -4, -7 and -8 of the specification; at
    /// most <see cref="Profiles.ResourceParser.MaxIssues"/>. The others are about other Bundles, or an entry is refused for them.
    /// </summary>
    public IReadOnlyList<FaultIssue> Misplaced { get; private init; } = [];

    /// <summary>Whether the resource or an entry of the Bundle writes a directory type.</summary>
    public bool TouchesDirectory { get; private init; }

    /// <summary>Whether the resource or an entry of the Bundle is of a type that is not kept in the directory.</summary>
    public bool TouchesPatient { get; private init; }

    /// <param name="json">The body, UTF-8.</param>
    public static RequestScan Read(ReadOnlySpan<byte> json)
    {
        if (JsonFaults.Find(json) is { } fault)
            return new() { Fault = fault };
        var pass = new Pass(new Utf8JsonReader(json, JsonFaults.ReaderOptions));
        return pass.Run();
    }

    /// <summary>Masked: ids and codes are personal data.</summary>
    public override string ToString() => $"RequestScan({ResourceType}, {Entries.Count} entries)";

    /// <summary>The pass. Recursion is bounded by <see cref="JsonFaults.MaxDepth"/>, which the reader enforces.</summary>
    private ref struct Pass(Utf8JsonReader reader)
    {
        private Utf8JsonReader _reader = reader;
        // Insertion-ordered sets: a hostile body may name a hundred thousand patients.
        private readonly OrderedDictionary<string, bool> _patientIds = [];
        private readonly OrderedDictionary<string, bool> _identityCodes = [];
        private readonly OrderedDictionary<string, bool> _conditional = [];
        private readonly List<ScannedEntry> _entries = [];
        private readonly HashSet<string> _fullUrls = new(StringComparer.Ordinal);
        private readonly List<FaultIssue> _misplaced = [];
        private readonly List<string> _profiles = [];
        private string? _bundleType;

        public RequestScan Run()
        {
            _reader.Read();
            var (type, id) = ReadResource(isRoot: true, inEntry: false);
            var types = type == "Bundle" ? _entries.Select(e => e.TargetType) : [type];
            var directory = false;
            var patient = false;
            foreach (var t in types)
            {
                var isDirectory = ResourceTypes.PlaceOf(t) == ResourcePlace.Directory;
                directory |= isDirectory;
                patient |= !isDirectory;
            }
            return new()
            {
                ResourceType = type,
                Id = id,
                ClaimedProfiles = _profiles,
                BundleType = _bundleType,
                PatientIds = [.. _patientIds.Keys],
                IdentityCodes = [.. _identityCodes.Keys],
                ConditionalReferences = [.. _conditional.Keys],
                Entries = _entries,
                Misplaced = type == "Bundle" ? _misplaced : [],
                TouchesDirectory = directory,
                TouchesPatient = patient,
            };
        }

        /// <summary>Reads an object that is a resource, from its StartObject to its EndObject.</summary>
        private (string? Type, string? Id) ReadResource(bool isRoot, bool inEntry)
        {
            string? type = null, id = null;
            var codes = new List<string>();
            while (_reader.Read() && _reader.TokenType != JsonTokenType.EndObject)
            {
                if (_reader.ValueTextEquals("resourceType"u8))
                    type ??= ReadText();
                else if (_reader.ValueTextEquals("id"u8))
                    id = ReadText();
                else if (isRoot && _reader.ValueTextEquals("type"u8))
                    _bundleType = ReadText() ?? _bundleType;
                else if (isRoot && _reader.ValueTextEquals("entry"u8))
                    ReadEntries();
                else if (isRoot && _reader.ValueTextEquals("meta"u8))
                    ReadMeta();
                else if (isRoot && _reader.ValueTextEquals("total"u8))
                {
                    Misplace("bdl-1", "total only when a search or history", "Bundle.total");
                    ReadValue();
                }
                else if ((isRoot || inEntry) && _reader.ValueTextEquals("identifier"u8))
                    ReadIdentifiers(codes);
                else
                    ReadValue();
            }
            if (type == "Patient")
            {
                foreach (var code in codes)
                    _identityCodes.TryAdd(code, true);
            }
            if (isRoot && type != "Bundle")
            {
                _entries.Clear();
                _bundleType = null;
            }
            return (type, id);
        }

        private void ReadMeta()
        {
            _reader.Read();
            if (_reader.TokenType != JsonTokenType.StartObject)
            {
                ReadOn();
                return;
            }
            while (_reader.Read() && _reader.TokenType != JsonTokenType.EndObject)
            {
                if (!_reader.ValueTextEquals("profile"u8))
                {
                    ReadValue();
                    continue;
                }
                _reader.Read();
                if (_reader.TokenType != JsonTokenType.StartArray)
                    ReadOn();
                else
                    while (_reader.Read() && _reader.TokenType != JsonTokenType.EndArray)
                        if (_reader.TokenType == JsonTokenType.String)
                            _profiles.Add(_reader.GetString()!);
                        else
                            ReadOn();
            }
        }

        private void ReadEntries()
        {
            _reader.Read();
            if (_reader.TokenType != JsonTokenType.StartArray)
            {
                ReadOn();
                return;
            }
            for (var index = 0; _reader.Read() && _reader.TokenType != JsonTokenType.EndArray; index++)
            {
                if (_reader.TokenType == JsonTokenType.StartObject)
                    ReadEntry(index);
                else
                    ReadOn();
            }
        }

        private void ReadEntry(int index)
        {
            var entry = new ScannedEntry(index, null, null, null, default);
            while (_reader.Read() && _reader.TokenType != JsonTokenType.EndObject)
            {
                if (_reader.ValueTextEquals("resource"u8))
                {
                    _reader.Read();
                    if (_reader.TokenType != JsonTokenType.StartObject)
                    {
                        ReadOn();
                        continue;
                    }
                    var start = (int)_reader.TokenStartIndex;
                    var (type, _) = ReadResource(isRoot: false, inEntry: true);
                    entry = entry with { ResourceType = type, Resource = start..(int)_reader.BytesConsumed };
                }
                else if (_reader.ValueTextEquals("fullUrl"u8))
                    entry = entry with { FullUrl = ReadText() };
                else if (_reader.ValueTextEquals("request"u8))
                    entry = ReadRequest(entry);
                else
                {
                    if (_reader.ValueTextEquals("search"u8))
                        Misplace("bdl-2", "entry.search only when a search", $"Bundle.entry[{index}].search");
                    else if (_reader.ValueTextEquals("response"u8))
                        Misplace("bdl-4", "entry.response mandatory for batch-response/transaction-response/history, otherwise prohibited", $"Bundle.entry[{index}].response");
                    ReadValue();
                }
            }
            if (entry.FullUrl?.Contains("/_history/", StringComparison.Ordinal) == true)
                Misplace("bdl-8", "fullUrl cannot be a version specific reference", $"Bundle.entry[{index}].fullUrl");
            if (entry is { FullUrl: { } fullUrl, ResourceType: not null } && !_fullUrls.Add(fullUrl))
                Misplace("bdl-7", "FullUrl must be unique in a bundle", $"Bundle.entry[{index}].fullUrl");
            if (entry.Url is { } url)
                AddPatient(url);
            _entries.Add(entry);
        }

        private readonly void Misplace(string key, string rule, string expression)
        {
            if (_misplaced.Count < Profiles.ResourceParser.MaxIssues)
                _misplaced.Add(new($"Constraint {key} does not hold: {rule}", expression, "invariant"));
        }

        private ScannedEntry ReadRequest(ScannedEntry entry)
        {
            _reader.Read();
            if (_reader.TokenType != JsonTokenType.StartObject)
            {
                ReadOn();
                return entry;
            }
            while (_reader.Read() && _reader.TokenType != JsonTokenType.EndObject)
            {
                if (_reader.ValueTextEquals("method"u8))
                    entry = entry with { Method = ReadText() };
                else if (_reader.ValueTextEquals("url"u8))
                    entry = entry with { Url = ReadText() };
                else if (_reader.ValueTextEquals("ifMatch"u8))
                    entry = entry with { IfMatch = ReadText() };
                else if (_reader.ValueTextEquals("ifNoneExist"u8))
                    entry = entry with { IfNoneExist = ReadText() };
                else if (_reader.ValueTextEquals("ifNoneMatch"u8))
                    entry = entry with { IfNoneMatch = ReadText() };
                else if (_reader.ValueTextEquals("ifModifiedSince"u8))
                    entry = entry with { IfModifiedSince = ReadText() };
                else
                    ReadValue();
            }
            return entry;
        }

        /// <summary>Reads <c>identifier</c>, one or an array of them, for the identity codes in it.</summary>
        private void ReadIdentifiers(List<string> codes)
        {
            _reader.Read();
            if (_reader.TokenType == JsonTokenType.StartObject)
                ReadIdentifier(codes);
            else if (_reader.TokenType == JsonTokenType.StartArray)
                while (_reader.Read() && _reader.TokenType != JsonTokenType.EndArray)
                    if (_reader.TokenType == JsonTokenType.StartObject)
                        ReadIdentifier(codes);
                    else
                        ReadOn();
        }

        private void ReadIdentifier(List<string> codes)
        {
            string? value = null;
            var isIdentityCode = false;
            while (_reader.Read() && _reader.TokenType != JsonTokenType.EndObject)
            {
                if (_reader.ValueTextEquals("system"u8))
                    isIdentityCode = ReadText() == PersonalIdentityCode.System;
                else if (_reader.ValueTextEquals("value"u8))
                    value = ReadText();
                else
                    ReadValue();
            }
            if (isIdentityCode && value is not null)
                codes.Add(value);
        }

        /// <summary>Reads the value after a property name, looking only for references.</summary>
        private void ReadValue()
        {
            var isReference = _reader.ValueTextEquals("reference"u8);
            _reader.Read();
            if (isReference && _reader.TokenType == JsonTokenType.String)
                AddReference(_reader.GetString()!);
            else
                ReadOn();
        }

        /// <summary>Reads to the end of the value that the reader stands on.</summary>
        private void ReadOn()
        {
            if (_reader.TokenType is not (JsonTokenType.StartObject or JsonTokenType.StartArray))
                return;
            var depth = _reader.CurrentDepth;
            while (_reader.Read() && _reader.CurrentDepth > depth)
                if (_reader.TokenType == JsonTokenType.PropertyName && _reader.ValueTextEquals("reference"u8))
                {
                    _reader.Read();
                    if (_reader.TokenType == JsonTokenType.String)
                        AddReference(_reader.GetString()!);
                }
        }

        /// <summary>Reads the string after a property name; anything else is read over and null.</summary>
        private string? ReadText()
        {
            _reader.Read();
            if (_reader.TokenType == JsonTokenType.String)
                return _reader.GetString();
            ReadOn();
            return null;
        }

        private readonly void AddReference(string reference)
        {
            if (References.Classify(reference, out _, out _) == ReferenceKind.Conditional)
                _conditional.TryAdd(reference, true);
            else
                AddPatient(reference);
        }

        private readonly void AddPatient(string reference)
        {
            const string Type = "Patient/";
            var at = reference.LastIndexOf(Type, StringComparison.Ordinal);
            if (at < 0 || (at > 0 && reference[at - 1] != '/'))
                return;
            var id = reference[(at + Type.Length)..];
            var end = id.AsSpan().IndexOfAny('/', '?', '#');
            if (end >= 0)
                id = id[..end];
            if (References.IsId(id))
                _patientIds.TryAdd(id, true);
        }
    }
}
