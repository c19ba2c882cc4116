using KantaGateway.Fhir.Interactions;

namespace KantaGateway.Tests.Fhir.Interactions;

/// <summary>What 405 says of an address, by the one table of routes and the rules of what testifies (RFC 9110 §15.5.6).</summary>
public sealed class RestRoutesTests
{
    [Theory]
    [InlineData("POST", "Observation/x", "DELETE, GET, HEAD, PATCH, PUT")]
    [InlineData("PATCH", "Observation/x/_history/y", "GET, HEAD")]
    [InlineData("GET", "Observation/_search", "POST")]
    [InlineData("POST", "_history", "GET, HEAD")]
    [InlineData("GET", "$hl7v2", "POST")]
    [InlineData("GET", "", "POST")]
    // An id that is nobody's takes no update, and may be asked for all the same.
    [InlineData("PUT", "Observation/x", "DELETE, GET, HEAD, PATCH")]
    [InlineData("PUT", "Provenance/x", "GET, HEAD")]
    [InlineData("DELETE", "AuditEvent/x", "GET, HEAD")]
    [InlineData("DELETE", "AuditEvent", "GET, HEAD, POST")]
    [InlineData("PATCH", "Consent/x", "GET, HEAD, PUT")]
    [InlineData("DELETE", "Consent", "GET, HEAD, POST")]
    // It was the condition, or what else was in the transaction.
    [InlineData("POST", "Consent", "GET, HEAD, POST")]
    [InlineData("POST", "", "POST")]
    [InlineData("POST", "Observation/x/$meta-add", "")]
    public void A_refused_method_is_answered_with_those_that_the_address_takes(string method, string address, string allowed) =>
        Assert.Equal(allowed, RestRoutes.Allowed(method, RestRoutes.Segments("/fhir/" + address)));
}
