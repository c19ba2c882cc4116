using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Formats;
using Microsoft.AspNetCore.Http;

namespace KantaGateway.Tests.Formats;

/// <summary>Which form an answer takes, and which bodies are taken.</summary>
public sealed class NegotiationTests
{
    [Theory]
    [InlineData(null, FhirFormat.Json)]
    [InlineData("*/*", FhirFormat.Json)]
    [InlineData("application/*", FhirFormat.Json)]
    [InlineData("application/fhir+json", FhirFormat.Json)]
    [InlineData("application/json", FhirFormat.Json)]
    [InlineData("application/fhir+xml", FhirFormat.Xml)]
    [InlineData("text/xml", FhirFormat.Xml)]
    [InlineData("application/xml; charset=utf-8", FhirFormat.Xml)]
    [InlineData("application/fhir+xml; fhirVersion=4.0", FhirFormat.Xml)]
    [InlineData("application/fhir+json;q=0.5, application/fhir+xml", FhirFormat.Xml)]
    [InlineData("application/fhir+xml;q=0.5, application/fhir+json;q=0.6", FhirFormat.Json)]
    [InlineData("application/fhir+xml, application/fhir+json", FhirFormat.Xml)]
    [InlineData("application/fhir+json, application/fhir+xml", FhirFormat.Json)]
    [InlineData("application/fhir+xml, */*", FhirFormat.Xml)]
    [InlineData("*/*, application/fhir+json;q=0", FhirFormat.Xml)]
    [InlineData("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", FhirFormat.Xml)]
    [InlineData("text/turtle, application/fhir+json;q=0.1", FhirFormat.Json)]
    public void Answers_in_what_the_caller_would_rather_read(string? accept, FhirFormat expected)
    {
        var context = Request("GET", accept);
        Assert.Null(Negotiation.Agree(context, "Observation", isSearch: false, ""));
        Assert.Equal(expected, Negotiation.Of(context).Format);
    }

    [Theory]
    [InlineData("text/html")]
    [InlineData("text/turtle, application/pdf")]
    [InlineData("application/fhir+json;q=0")]
    [InlineData("application/fhir+json; fhirVersion=5.0")]
    public void Refuses_a_caller_who_reads_neither(string accept) =>
        Assert.Equal(FaultKind.NotAcceptable, Negotiation.Agree(Request("GET", accept), "Observation", isSearch: false, "")!.Kind);

    [Theory]
    [InlineData("?_format=xml", "", FhirFormat.Xml)]
    [InlineData("", "patient=1&_format=xml", FhirFormat.Xml)]
    [InlineData("?_page=x&_format=json", "patient=1&_format=xml", FhirFormat.Json)]
    public void What_the_parameters_ask_for_overrides_what_is_accepted(string query, string further, FhirFormat expected)
    {
        var context = Request("GET", "text/html", query);
        Assert.Null(Negotiation.Agree(context, "Observation", isSearch: true, further));
        Assert.Equal(expected, Negotiation.Of(context).Format);
    }

    [Fact]
    public void A_refusal_before_anything_is_agreed_comes_in_what_the_caller_seems_to_read()
    {
        Assert.Equal(FhirFormat.Xml, Negotiation.Of(Request("GET", "application/fhir+xml")).Format);
        Assert.Equal(FhirFormat.Xml, Negotiation.Of(Request("GET", null, "?_format=xml")).Format);
        Assert.Equal(FhirFormat.Json, Negotiation.Of(Request("GET", "text/html", "?_format=html")).Format);
    }

    [Theory]
    [InlineData("application/fhir+json", FhirFormat.Json)]
    [InlineData("application/json; charset=\"UTF-8\"", FhirFormat.Json)]
    [InlineData("application/fhir+xml", FhirFormat.Xml)]
    [InlineData("text/xml; charset=utf-8; fhirVersion=4.0", FhirFormat.Xml)]
    public void Takes_a_body(string contentType, FhirFormat expected) =>
        Assert.Equal((expected, null), Negotiation.OfBody(Request("POST", null, contentType: contentType).Request, isSearch: false));

    [Theory]
    [InlineData("POST", null)]
    [InlineData("POST", "text/plain")]
    [InlineData("POST", "application/json-patch+json")]
    [InlineData("POST", "application/fhir+json; charset=iso-8859-1")]
    [InlineData("PUT", "application/fhir+xml; charset=utf-16")]
    [InlineData("PUT", "application/fhir+json; fhirVersion=3.0")]
    [InlineData("PATCH", "application/xml-patch+xml")]
    public void Refuses_a_body(string method, string? contentType) =>
        Assert.Equal(FaultKind.UnsupportedMediaType, Negotiation.OfBody(Request(method, null, contentType: contentType).Request, isSearch: false).Fault!.Kind);

    private static HttpContext Request(string method, string? accept, string query = "", string? contentType = null)
    {
        var context = new DefaultHttpContext();
        context.Request.Method = method;
        context.Request.QueryString = new(query);
        context.Request.ContentType = contentType;
        if (accept is not null)
            context.Request.Headers.Accept = accept;
        return context;
    }
}
